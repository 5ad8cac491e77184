"""What a run says and how it ends, written down: the only writer of a running job's row.

Every write carries the claim and raises LeaseLost once another attempt owns the job. While the database is away it
raises Unavailable, and the same call may be made again.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from service.logs import get_logger
from service.settings import Settings
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store import models as model_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.records import Claim, DatasetRecord, JobRecord, Json
from service.store.tables import now
from worker.channel import OUT_OF_MEMORY

T = TypeVar("T")
log = get_logger(__name__)
EVENTS_PER_RUN = 100  # progress events; the job's row itself is brought up to date each second


class Record:
    """Of one attempt. `over` once the attempt has ended, one way or another."""

    def __init__(
        self, settings: Settings, database: Database, artifacts: ArtifactStore, job: JobRecord, claim: Claim
    ) -> None:
        self._settings, self._database, self._artifacts = settings, database, artifacts
        self._job, self._claim = job, claim
        self._log = log.bind(job_id=job.id, attempt=job.attempt)
        self._last_event_step = 0
        self._published = False
        self.over = False

    def write_down(self, message: Json, dataset: DatasetRecord) -> None:
        """One message of the run."""
        content = {name: value for name, value in message.items() if name != "kind"}
        match message["kind"]:
            case "phase":
                self._report({"phase": content["phase"]}, f"now {content['phase']}")
            case "note":
                self._note(content["message"], content.get("level", "info"))
            case "hyperparameters":
                self._report(content)
            case "progress":
                self._progress(content)
            case "epoch":
                self._epoch(content)
            case "succeeded":
                self._succeeded(content, dataset)
            case "failed" if content["code"] == OUT_OF_MEMORY:
                self.out_of_memory(content["message"])
            case "failed":
                self.fail(content)
            case "stopped":
                self.hand_back()

    def renew(self) -> bool:
        """Keeps the lease; says whether the job's end was asked for."""
        with self._database.write() as tx:
            return job_rows.renew(tx, self._claim, self._settings.lease_seconds)

    def _report(self, values: Json, message: str | None = None) -> None:
        with self._database.write() as tx:
            job_rows.report(tx, self._claim, values)
            if message:
                event_rows.append(tx, self._claim, message)

    def _note(self, message: str, level: str) -> None:
        with self._database.write() as tx:
            event_rows.append(tx, self._claim, message, level=level)

    def _progress(self, content: Json) -> None:
        step, total, left = content["step"], content["total_steps"], content["seconds_left"]
        progress = {name: content[name] for name in ("epoch", "num_epochs", "step", "total_steps")}
        with self._database.write() as tx:
            finish = None if left is None else now() + left
            job_rows.report(tx, self._claim, {"progress": progress, "estimated_finish": finish})
            if told := step - self._last_event_step >= total / EVENTS_PER_RUN or step == total:
                event_rows.append(tx, self._claim, f"step {step} of {total}", kind="progress", data=content)
        if told:
            self._last_event_step = step

    def _epoch(self, content: Json) -> None:
        best = self._job.best
        if best is None or content["val_loss"] < best["val_loss"]:
            best = _best(content)
        with self._database.write() as tx:
            job_rows.report(tx, self._claim, {"best": best})
            message = f"epoch {content['epoch']}: validation loss {content['val_loss']:.4f}"
            event_rows.append(tx, self._claim, message, kind="metrics", data=content)
        self._job = dataclasses.replace(self._job, best=best)

    # -- ends that the job does not come back from ------------------------------------------------------

    def _succeeded(self, content: Json, dataset: DatasetRecord) -> None:
        """The model's row and the job's end are one transaction: this is what makes the model exist."""
        model = {
            "id": content["model_id"],
            "project": self._job.project,
            "bytes": self._artifacts.size("models", content["model_id"]),
            "name": self._job.name,
            "task": dataset.task,
            "labels": dataset.labels,
            "base_model": self._job.base_model,
            "dataset_id": dataset.id,
            "job_id": self._job.id,
            "val_sha256": dataset.val_sha256,
            "val_loss": content["best"]["val_loss"],
            "metrics": content["metrics"],
            "manifest_sha256": content["manifest_sha256"],
        }
        warnings = [*self._job.warnings, *content["warnings"]]
        values = {"model_id": model["id"], "best": _best(content["best"]), "error": None, "warnings": warnings}

        def publish(tx: Transaction) -> None:
            record = model_rows.add(tx, model)
            message = f"published {record.name} version {record.version}"
            event_rows.append(tx, self._claim, message, data={"model_id": record.id})
            for warning in content["warnings"]:
                event_rows.append(tx, self._claim, warning["message"], level="warning", data=warning)
            job_rows.finish(tx, self._claim, "succeeded", values)

        self._published = self._finish("succeeded", publish) == "succeeded"

    def forget_unpublished(self, model_id: str) -> None:
        """Once the attempt is over and its run is dead: what that had put in place by then, if no row names it. The
        report comes first, and has a copy on this machine."""
        if not self._published and self._artifacts.path("reports", model_id).exists():
            self._artifacts.forget("models", model_id)
            self._artifacts.forget("reports", model_id)

    def fail(self, error: Json) -> None:
        """For good. `error` has a code, and a message for people."""

        def give_up(tx: Transaction) -> None:
            event_rows.append(tx, self._claim, error["message"], level="error")
            job_rows.finish(tx, self._claim, "failed", {"error": error})

        self._finish("failed", give_up)

    def cancel(self) -> None:
        """Because that was asked for."""
        self._finish("cancelled", self._cancel)

    def _finish(self, status: str, write: Callable[[Transaction], None]) -> str:
        """Returns the status that the job has now: whoever asked in time for its cancellation is obeyed."""
        with self._database.write() as tx:
            if job_rows.renew(tx, self._claim, self._settings.lease_seconds):
                status, write = "cancelled", self._cancel
            write(tx)
        self.over = True
        self._log.info("run_finished", status=status)
        self._artifacts.forget("checkpoints", self._job.id)
        return status

    def _cancel(self, tx: Transaction) -> None:
        event_rows.append(tx, self._claim, "cancelled")
        job_rows.finish(tx, self._claim, "cancelled", {"error": None})

    # -- ends of the attempt only -----------------------------------------------------------------------

    def try_again(self, words: str) -> None:
        """From the last checkpoint, unless this was the last attempt of all."""
        error = {"code": "run_crashed", "message": f"{words} (attempt {self._job.attempt})"}
        crash = partial(job_rows.crash, max_attempts=self._settings.max_attempts, error=error)
        again = self._leave(words, "error", crash)
        self._log.warning("run_crashed", how=words, again=again)
        if not again:
            self._artifacts.forget("checkpoints", self._job.id)

    def out_of_memory(self, words: str) -> None:
        """Once more from the start with half the batch. The error on the queued job says that this was done."""
        batch_size = self._job.hyperparameters["batch_size"] // 2
        error = {"code": OUT_OF_MEMORY, "message": words}
        if batch_size == 0 or (self._job.error or {}).get("code") == OUT_OF_MEMORY:
            self.fail(error)
            return
        hyperparameters = self._job.hyperparameters | {"batch_size": batch_size}
        changed = {"hyperparameters": hyperparameters, "error": error, "best": None}
        message = f"{words}; tried again with batch_size {batch_size}"
        self._leave(message, "warning", partial(job_rows.hand_back, changed=changed))
        self._log.warning("run_out_of_memory", how=words, batch_size=batch_size)

    def hand_back(self) -> None:
        """To the queue, for whichever worker comes next."""
        self._leave("the worker stops; the job waits to be resumed", "info", job_rows.hand_back)
        self._log.info("run_handed_back")

    def _leave(self, message: str, level: str, write: Callable[[Transaction, Claim], T]) -> T:
        with self._database.write() as tx:
            event_rows.append(tx, self._claim, message, level=level)
            result = write(tx, self._claim)
        self.over = True
        return result


def _best(epoch: Json) -> Json:
    """What a job's row keeps of its best epoch."""
    return {name: epoch[name] for name in ("epoch", "val_loss", "val_macro_f1")}
