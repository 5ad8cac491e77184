"""One claimed job: start the run, keep its lease, write down what it says, end it when asked.

The only writer of a running job's row. Every write carries the claim; when the claim is lost the run is
killed and nothing more is written, because another attempt owns the job.
"""

import dataclasses
import threading
import time

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
from worker.channel import Order
from worker.process import TrainingProcess

log = get_logger(__name__)
LONGEST_BEAT = 2.0  # seconds between looks at the lease and at the wish to cancel
POLL = 0.2
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
            with self.database.write() as tx:
                job = job_rows.claim_next(tx, self.owner, self.settings.lease_seconds)
            if job is None:
                return
            self.run_job(job)

    def run_job(self, job: JobRecord) -> None:
        claim = Claim(job.id, job.attempt, self.owner)
        try:
            Attempt(self, job, claim).run()
        except LeaseLost as error:
            log.warning("lease_lost", job_id=job.id, attempt=job.attempt, error=error.message)


class Attempt:
    """One attempt at one job."""

    def __init__(self, supervisor: Supervisor, job: JobRecord, claim: Claim) -> None:
        self.settings, self.database, self.artifacts = supervisor.settings, supervisor.database, supervisor.artifacts
        self.stopping = supervisor.stopping
        self.job, self.claim = job, claim
        self.log = log.bind(job_id=job.id, attempt=job.attempt)
        self.beat = min(LONGEST_BEAT, self.settings.lease_seconds / 6)
        self.renewed = time.monotonic()
        self.final = False
        self.last_event_step = 0

    def run(self) -> None:
        """From the first event to a final state, or back to the queue. Raises: LeaseLost."""
        try:
            dataset = self._find_dataset()
            order = self._order(dataset)
        except NotFound as error:
            self._finish("failed", error.message, error={"code": error.code, "message": error.message})
            return
        process = TrainingProcess(order)
        self.log.info("run_started", pid=process.pid)
        try:
            self._note(f"attempt {self.job.attempt} started")
            self._watch(process, dataset)
        finally:
            process.kill()

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
        message: Json | None = None
        asked = False
        while not self.final:
            try:
                if message := message or process.next_message(POLL):
                    self._write_down(message, dataset)
                    message = None
                if self._cancelled():
                    process.kill()
                    self._finish("cancelled", "cancelled")
                elif process.ended() and not self.final:
                    self._crashed(process)
            except Unavailable as error:
                self._wait_for_database(error)
            if self.stopping.is_set() and not asked:
                process.ask_to_stop()
                asked = True

    def _cancelled(self) -> bool:
        """Renews the lease when it is time to; says whether the job's end was asked for."""
        if self.final or time.monotonic() - self.renewed < self.beat:
            return False
        with self.database.write() as tx:
            cancelled = job_rows.renew(tx, self.claim, self.settings.lease_seconds)
        self.renewed = time.monotonic()
        return cancelled

    def _wait_for_database(self, error: Unavailable) -> None:
        """Raises: LeaseLost before the lease ends, so that no other attempt can ever meet this one alive."""
        if time.monotonic() - self.renewed > self.settings.lease_seconds * 0.8:
            raise LeaseLost(f"the lease could not be renewed in time: {error.message}") from error
        time.sleep(min(1.0, self.settings.lease_seconds / 20))

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
        best = _best(content["best"])
        with self.database.write() as tx:
            record = model_rows.add(tx, model)
            message = f"published {record.name} version {record.version}"
            event_rows.append(tx, self.claim, message, data={"model_id": record.id})
            for warning in content["warnings"]:
                event_rows.append(tx, self.claim, warning["message"], level="warning", data=warning)
            values = {"model_id": record.id, "best": best, "error": None, "warnings": content["warnings"]}
            job_rows.finish(tx, self.claim, "succeeded", values)
        self._over("succeeded")

    def _finish(self, status: str, message: str, error: Json | None = None) -> None:
        with self.database.write() as tx:
            event_rows.append(tx, self.claim, message, level="error" if error else "info")
            job_rows.finish(tx, self.claim, status, {"error": error})
        self._over(status)

    def _crashed(self, process: TrainingProcess) -> None:
        words = process.how_it_ended()
        error = {"code": "run_crashed", "message": f"{words} (attempt {self.job.attempt})"}
        with self.database.write() as tx:
            event_rows.append(tx, self.claim, words, level="error")
            again = job_rows.crash(tx, self.claim, self.settings.max_attempts, error)
        self.final = True
        self.log.warning("run_crashed", how=words, again=again)
        if not again:
            self.artifacts.remove("checkpoints", self.job.id)

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
