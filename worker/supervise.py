"""One claimed job: start the run, keep its lease, have written down what it says, end it when asked.

When the claim is lost the run is killed and nothing more is written, because another attempt owns the job.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from service.errors import ArtifactCorrupt, LeaseLost, NotFound, Unavailable
from service.jobs.spec import ResolvedHyperparameters
from service.logs import get_logger
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store import jobs as job_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import Claim, DatasetRecord, JobRecord, Json
from worker.carrying import Carrier, CarryFailed
from worker.channel import Order
from worker.lease import Lease
from worker.process import TrainingProcess
from worker.record import Record
from worker.spare import RunProcesses

T = TypeVar("T")
log = get_logger(__name__)
POLL = 0.2
FAULT_SECONDS = 5.0  # so that another worker takes the job, and all attempts are not used up at once
STOP_SECONDS = 20.0  # from the wish to stop to the end of a run that does not heed it; whole workers get 30


class Supervisor:
    """Runs claimed jobs, one child process each. `stopping` asks all of them to hand their jobs back."""

    def __init__(
        self, settings: Settings, database: Database, artifacts: ArtifactStore, owner: str, stopping: threading.Event
    ) -> None:
        self.settings, self.database, self.artifacts = settings, database, artifacts
        self.owner, self.stopping = owner, stopping
        self.processes = RunProcesses()

    def run_queued_jobs(self) -> None:
        """Takes the oldest queued job until none is left: a ring that was lost costs nobody his turn."""
        while not self.stopping.is_set():
            lease = Lease(self.settings.lease_seconds)
            with self.database.write() as tx:
                job = job_rows.claim_next(tx, self.owner, lease.seconds)
            if job is None:
                return
            self.run_job(job, lease)

    def run_job(self, job: JobRecord, lease: Lease) -> None:
        claim = Claim(job.id, job.attempt, self.owner)
        try:
            attempt = Attempt(self, job, claim, lease)
            with contextlib.closing(attempt.carrier):
                attempt.run()
        except LeaseLost as error:
            log.warning("lease_lost", job_id=job.id, attempt=job.attempt, error=error.message)
        except Exception as error:  # a fault of this machine, such as no process to be had, or of ours
            log.exception("attempt_failed", job_id=job.id, attempt=job.attempt)
            with contextlib.suppress(LeaseLost, Unavailable):  # then the lease runs out
                Record(self.settings, self.database, self.artifacts, job, claim).try_again(
                    f"the worker could not run it ({type(error).__name__}); its log says more"
                )
            self.stopping.wait(FAULT_SECONDS)


class Attempt:
    """One attempt at one job."""

    def __init__(self, supervisor: Supervisor, job: JobRecord, claim: Claim, lease: Lease) -> None:
        self.settings, self.database = supervisor.settings, supervisor.database
        self.stopping, self.processes = supervisor.stopping, supervisor.processes
        self.job, self.lease = job, lease
        self.record = Record(self.settings, self.database, supervisor.artifacts, job, claim)
        self.carrier = Carrier(supervisor.artifacts, job.id)
        self.log = log.bind(job_id=job.id, attempt=job.attempt)
        self.began = self.heard = time.monotonic()
        self.asked_to_stop: float | None = None

    def run(self) -> None:
        """From the first event to a final state, or back to the queue. Raises: LeaseLost."""
        try:
            dataset = self._while_leased(self._find_dataset)
            order = self._while_leased(lambda: self._order(dataset))
        except NotFound as error:
            self._while_leased(partial(self.record.fail, {"code": error.code, "message": error.message}))
            return
        if not self._fetch(dataset):
            return
        with self.processes.process() as process:
            process.begin(order)
            self.log.info("run_started", pid=process.pid)
            with self.lease.guarding(process.end, job_id=self.job.id, attempt=self.job.attempt):
                self._watch(process, dataset)
        if not self.stopping.is_set():  # else a sweep does: of the seconds for a stop a bucket may take too many
            self.record.forget_unpublished(order.model_id)

    def _fetch(self, dataset: DatasetRecord) -> bool:
        """Has what the run reads brought to this machine. Whether it may begin: False when the attempt has ended."""
        while not self.record.over:
            self._must_hold_lease()
            try:
                if self.carrier.fetched(dataset.id, POLL):
                    return True
                self._tell_of_trouble(dataset)
                if self.stopping.is_set():
                    self.record.hand_back()
                elif self._cancelled():
                    self.record.cancel()
                elif self._took_too_long():
                    self._fail_for_time()
            except CarryFailed as error:
                self._while_leased(partial(self.record.try_again, str(error)))
            except (NotFound, ArtifactCorrupt) as error:
                self._while_leased(partial(self.record.fail, {"code": error.code, "message": error.message}))
            except Unavailable as error:  # the database
                if self.stopping.is_set():
                    raise LeaseLost("the worker stops while the database is away; the lease runs out") from error
                self._pause()
        return False

    def _must_hold_lease(self) -> None:
        if self.lease.over():
            raise LeaseLost("the lease could not be renewed in time")

    def _tell_of_trouble(self, dataset: DatasetRecord) -> None:
        if why := self.carrier.trouble():
            words = f"files of this job wait, and are sent again by themselves: {why}"
            self.record.write_down({"kind": "note", "level": "warning", "message": words}, dataset)

    def _while_leased(self, call: Callable[[], T]) -> T:
        """A database that is away costs no attempt as long as the job is ours. Raises: LeaseLost."""
        while True:
            try:
                return call()
            except Unavailable as error:
                if self.lease.over() or self.stopping.is_set():
                    raise LeaseLost("the database was away when the attempt began; the lease runs out") from error
                self._pause()

    def _pause(self) -> None:
        time.sleep(min(1.0, self.lease.seconds / 20))

    def _find_dataset(self) -> DatasetRecord:
        with self.database.read() as tx:
            dataset = dataset_rows.get(tx, self.job.project, self.job.dataset_id)
        if dataset is None:
            raise NotFound("the job's data set is gone; upload it again and submit a new job", code="dataset_not_found")
        return dataset

    def _order(self, dataset: DatasetRecord) -> Order:
        with self.database.read() as tx:
            scored = job_rows.times_scored(tx, self.job.project, dataset.test_sha256)
        return Order(
            job_id=self.job.id,
            attempt=self.job.attempt,
            model_id=new_id("mdl"),
            dataset_id=dataset.id,
            dataset_sha256=dataset.sha256,
            task=dataset.task,
            labels=dataset.labels,
            base_model=self.job.base_model,
            hyperparameters=ResolvedHyperparameters(**self.job.hyperparameters),
            settings=self.settings,
            name=self.job.name,
            test_scored_before=scored,
        )

    def _watch(self, process: TrainingProcess, dataset: DatasetRecord) -> None:
        """Until the run has had its last word. A database that is away is waited for while the lease holds."""
        message: Json | None = {"kind": "note", "message": f"attempt {self.job.attempt} started"}
        while not self.record.over:
            self._must_hold_lease()
            if self.stopping.is_set() and self.asked_to_stop is None:
                self.asked_to_stop = time.monotonic()
                process.ask_to_stop()
            try:
                if message := message or process.next_message(POLL):
                    self.heard = time.monotonic()
                    if message.get("phase") == "evaluating":
                        self._make_way(process)
                    if self.carrier.is_known_to_all(message, POLL):
                        self.record.write_down(message, dataset)
                        message = None
                self.carrier.keep_up()
                self._tell_of_trouble(dataset)
                self._look_after(process, pending=message is not None)
            except Unavailable as error:
                if self._too_slow_to_stop():
                    raise LeaseLost("the worker stops while the database is away; the lease runs out") from error
                self._pause()
            except (CarryFailed, NotFound, ArtifactCorrupt) as error:  # of what the run has written
                process.kill()
                self._while_leased(partial(self.record.try_again, str(error)))

    def _make_way(self, process: TrainingProcess) -> None:
        """The next run may get ready beside this one, which trains no more, if a job waits for it: else the seconds
        of processors that it takes would only make this one longer."""
        if self.job.hyperparameters.get("repeats", 1) > 1:
            return  # it trains again, under another seed
        with self.database.read() as tx:
            others_wait = bool(job_rows.oldest_queued(tx, 1))
        if others_wait:
            self.processes.ends_soon(process)

    def _look_after(self, process: TrainingProcess, pending: bool) -> None:
        """Keeps the lease, and ends the run when that is asked for or it does not get on. `pending`: a message of it is
        still to be written down, so how it ended is not known yet."""
        if self.record.over:
            return
        if self._cancelled():
            process.kill()
            self.record.cancel()
        elif process.ended() and not pending:
            self._crashed(process)
        elif self._took_too_long():
            process.kill()
            self._fail_for_time()
        elif time.monotonic() - self.heard > self.settings.stall_seconds:
            process.kill()
            self.record.try_again(
                f"the training run made no progress for {self.settings.stall_seconds:g} s and was ended"
            )
        elif self._too_slow_to_stop():
            process.kill()  # it measures, or loads: back to its last checkpoint
            self.record.hand_back()

    def _crashed(self, process: TrainingProcess) -> None:
        words = process.how_it_ended()
        if process.was_out_of_memory():
            self.record.out_of_memory(words)
        else:
            self.record.try_again(words)

    def _took_too_long(self) -> bool:
        limit = self.settings.max_run_seconds
        return limit is not None and time.monotonic() - self.began > limit

    def _fail_for_time(self) -> None:
        words = f"the job took longer than the operator allows, {self.settings.max_run_seconds:g} s; train less"
        self.record.fail({"code": "time_limit", "message": words})

    def _too_slow_to_stop(self) -> bool:
        return self.asked_to_stop is not None and time.monotonic() - self.asked_to_stop > STOP_SECONDS

    def _cancelled(self) -> bool:
        """Renews the lease when it is time to; says whether the job's end was asked for."""
        if not self.lease.due():
            return False
        asked_at = time.monotonic()
        cancelled = self.record.renew()
        self.lease.renewed(asked_at)
        return cancelled
