"""One claimed job: start the run, keep its lease, write down what it says, end it when asked.

The only writer of a running job's row. Every write carries the claim; when the claim is lost the run is
killed and nothing more is written, because another attempt owns the job.
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from service.errors import LeaseLost, NotFound, Unavailable
from service.jobs.spec import ResolvedHyperparameters
from service.logs import get_logger
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store import models as model_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.records import Claim, DatasetRecord, JobRecord, Json
from service.store.tables import now
from worker.channel import OUT_OF_MEMORY, Order
from worker.lease import Lease
from worker.process import TrainingProcess

T = TypeVar("T")
log = get_logger(__name__)
POLL = 0.2
STOP_SECONDS = 20.0  # from the wish to stop to the end of a run that does not heed it; whole workers get 30
EVENTS_PER_RUN = 100  # progress events; the job's row itself is brought up to date each second


class Supervisor:
    """Runs claimed jobs, one child process each. `stopping` asks all of them to hand their jobs back."""

    def __init__(
        self, settings: Settings, database: Database, artifacts: ArtifactStore, owner: str, stopping: threading.Event
    ) -> None:
        self.settings, self.database, self.artifacts = settings, database, artifacts
        self.owner, self.stopping = owner, stopping

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
            Attempt(self, job, claim, lease).run()
        except LeaseLost as error:
            log.warning("lease_lost", job_id=job.id, attempt=job.attempt, error=error.message)


class Attempt:
    """One attempt at one job."""

    def __init__(self, supervisor: Supervisor, job: JobRecord, claim: Claim, lease: Lease) -> None:
        self.settings, self.database, self.artifacts = supervisor.settings, supervisor.database, supervisor.artifacts
        self.stopping = supervisor.stopping
        self.job, self.claim, self.lease = job, claim, lease
        self.log = log.bind(job_id=job.id, attempt=job.attempt)
        self.began = self.heard = time.monotonic()
        self.asked_to_stop: float | None = None
        self.final = False
        self.last_event_step = 0

    def run(self) -> None:
        """From the first event to a final state, or back to the queue. Raises: LeaseLost."""
        try:
            dataset = self._while_leased(self._find_dataset)
            order = self._while_leased(lambda: self._order(dataset))
        except NotFound as error:
            told = {"code": error.code, "message": error.message}
            self._while_leased(partial(self._finish, "failed", error.message, told))
            return
        process = TrainingProcess(order)
        self.log.info("run_started", pid=process.pid)
        try:
            with self.lease.guarding(process.end, job_id=self.job.id, attempt=self.job.attempt):
                self._watch(process, dataset)
        finally:
            process.kill()

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
        while not self.final:
            if self.lease.over():
                raise LeaseLost("the lease could not be renewed in time")
            if self.stopping.is_set() and self.asked_to_stop is None:
                self.asked_to_stop = time.monotonic()
                process.ask_to_stop()
            try:
                if message := message or process.next_message(POLL):
                    self.heard = time.monotonic()
                    self._write_down(message, dataset)
                    message = None
                self._look_after(process)
            except Unavailable as error:
                if self._too_slow_to_stop():
                    raise LeaseLost("the worker stops while the database is away; the lease runs out") from error
                self._pause()

    def _look_after(self, process: TrainingProcess) -> None:
        """Keeps the lease, and ends the run when that is asked for or it does not get on."""
        if self.final:
            return
        if self._cancelled():
            process.kill()
            self._finish("cancelled", "cancelled")
        elif process.ended():
            self._crashed(process)
        elif self._took_too_long():
            process.kill()
            words = f"the job took longer than the operator allows, {self.settings.max_run_seconds:g} s; train less"
            self._finish("failed", words, error={"code": "time_limit", "message": words})
        elif time.monotonic() - self.heard > self.settings.stall_seconds:
            process.kill()
            self._try_again(f"the training run made no progress for {self.settings.stall_seconds:g} s and was ended")
        elif self._too_slow_to_stop():
            process.kill()  # it measures, or loads: back to its last checkpoint
            self._hand_back()

    def _took_too_long(self) -> bool:
        limit = self.settings.max_run_seconds
        return limit is not None and time.monotonic() - self.began > limit

    def _too_slow_to_stop(self) -> bool:
        return self.asked_to_stop is not None and time.monotonic() - self.asked_to_stop > STOP_SECONDS

    def _cancelled(self) -> bool:
        """Renews the lease when it is time to; says whether the job's end was asked for."""
        if not self.lease.due():
            return False
        asked_at = time.monotonic()
        with self.database.write() as tx:
            cancelled = job_rows.renew(tx, self.claim, self.lease.seconds)
        self.lease.renewed(asked_at)
        return cancelled

    # -- what the run says ----------------------------------------------------------------------------

    def _write_down(self, message: Json, dataset: DatasetRecord) -> None:
        content = {name: value for name, value in message.items() if name != "kind"}
        match message["kind"]:
            case "phase":
                self._report({"phase": content["phase"]}, f"now {content['phase']}")
            case "note":
                self._note(content["message"], level=content.get("level", "info"))
            case "hyperparameters":
                self._report(content)
            case "progress":
                self._progress(content)
            case "epoch":
                self._epoch(content)
            case "succeeded":
                self._succeeded(content, dataset)
            case "failed" if content["code"] == OUT_OF_MEMORY:
                self._out_of_memory(content["message"])
            case "failed":
                self._finish("failed", content["message"], error=content)
            case "stopped":
                self._hand_back()

    def _report(self, values: Json, message: str | None = None) -> None:
        with self.database.write() as tx:
            job_rows.report(tx, self.claim, values)
            if message:
                event_rows.append(tx, self.claim, message)

    def _note(self, message: str, level: str = "info") -> None:
        with self.database.write() as tx:
            event_rows.append(tx, self.claim, message, level=level)

    def _progress(self, content: Json) -> None:
        step, total = content["step"], content["total_steps"]
        progress = {name: content[name] for name in ("epoch", "num_epochs", "step", "total_steps")}
        with self.database.write() as tx:
            finish = now() + content["seconds_left"]
            job_rows.report(tx, self.claim, {"progress": progress, "estimated_finish": finish})
            if step - self.last_event_step >= total / EVENTS_PER_RUN or step == total:
                self.last_event_step = step
                event_rows.append(tx, self.claim, f"step {step} of {total}", kind="progress", data=content)

    def _epoch(self, content: Json) -> None:
        best = self.job.best
        if best is None or content["val_loss"] < best["val_loss"]:
            best = _best(content)
        with self.database.write() as tx:
            job_rows.report(tx, self.claim, {"best": best})
            message = f"epoch {content['epoch']}: validation loss {content['val_loss']:.4f}"
            event_rows.append(tx, self.claim, message, kind="metrics", data=content)
        self.job = dataclasses.replace(self.job, best=best)

    # -- how it ends ----------------------------------------------------------------------------------

    def _succeeded(self, content: Json, dataset: DatasetRecord) -> None:
        """The model's row and the job's end are one transaction: this is what makes the model exist."""
        model = {
            "id": content["model_id"],
            "project": self.job.project,
            "bytes": self.artifacts.size("models", content["model_id"]),
            "name": self.job.name,
            "task": dataset.task,
            "labels": dataset.labels,
            "base_model": self.job.base_model,
            "dataset_id": dataset.id,
            "job_id": self.job.id,
            "val_sha256": dataset.val_sha256,
            "val_loss": content["best"]["val_loss"],
            "metrics": content["metrics"],
            "manifest_sha256": content["manifest_sha256"],
        }
        values = {"model_id": model["id"], "best": _best(content["best"]), "error": None}
        with self.database.write() as tx:
            cancelled = job_rows.renew(tx, self.claim, self.lease.seconds)  # whoever asked in time is obeyed
            if not cancelled:
                record = model_rows.add(tx, model)
                message = f"published {record.name} version {record.version}"
                event_rows.append(tx, self.claim, message, data={"model_id": record.id})
                for warning in content["warnings"]:
                    event_rows.append(tx, self.claim, warning["message"], level="warning", data=warning)
                job_rows.finish(tx, self.claim, "succeeded", values | {"warnings": content["warnings"]})
        if not cancelled:
            self._over("succeeded")
            return
        self._finish("cancelled", "cancelled")
        self.artifacts.remove("models", model["id"])
        self.artifacts.remove("reports", model["id"])

    def _finish(self, status: str, message: str, error: Json | None = None) -> None:
        with self.database.write() as tx:
            if job_rows.renew(tx, self.claim, self.lease.seconds):  # whoever asked in time is obeyed
                status, message, error = "cancelled", "cancelled", None
            event_rows.append(tx, self.claim, message, level="error" if error else "info")
            job_rows.finish(tx, self.claim, status, {"error": error})
        self._over(status)

    def _crashed(self, process: TrainingProcess) -> None:
        words = process.how_it_ended()
        if process.was_out_of_memory():
            self._out_of_memory(words)
        else:
            self._try_again(words)

    def _try_again(self, words: str) -> None:
        error = {"code": "run_crashed", "message": f"{words} (attempt {self.job.attempt})"}
        with self.database.write() as tx:
            event_rows.append(tx, self.claim, words, level="error")
            again = job_rows.crash(tx, self.claim, self.settings.max_attempts, error)
        self.final = True
        self.log.warning("run_crashed", how=words, again=again)
        if not again:
            self.artifacts.remove("checkpoints", self.job.id)

    def _out_of_memory(self, words: str) -> None:
        """Once more from the start with half the batch. The error on the queued job says that this was done."""
        batch_size = self.job.hyperparameters["batch_size"] // 2
        error = {"code": OUT_OF_MEMORY, "message": words}
        if batch_size == 0 or (self.job.error or {}).get("code") == OUT_OF_MEMORY:
            self._finish("failed", words, error)
            return
        changed = {
            "hyperparameters": self.job.hyperparameters | {"batch_size": batch_size},
            "error": error,
            "best": None,
        }
        with self.database.write() as tx:
            message = f"{words}; tried again with batch_size {batch_size}"
            event_rows.append(tx, self.claim, message, level="warning")
            job_rows.hand_back(tx, self.claim, changed)
        self.final = True
        self.log.warning("run_out_of_memory", how=words, batch_size=batch_size)

    def _hand_back(self) -> None:
        with self.database.write() as tx:
            event_rows.append(tx, self.claim, "the worker stops; the job waits to be resumed")
            job_rows.hand_back(tx, self.claim)
        self.final = True
        self.log.info("run_handed_back")

    def _over(self, status: str) -> None:
        self.final = True
        self.log.info("run_finished", status=status)
        self.artifacts.remove("checkpoints", self.job.id)


def _best(epoch: Json) -> Json:
    """What a job's row keeps of its best epoch."""
    return {name: epoch[name] for name in ("epoch", "val_loss", "val_macro_f1")}
