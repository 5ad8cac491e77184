"""The product in this very process: neither HTTP nor a start for each run, so for many runs.

What is computed is what `benchmarks.product` gets; seconds are of the work alone, and do not compare with its.
"""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.product import Served
from benchmarks.sets import TextSet
from service.datasets.ingest import Cut, Submission, store_dataset
from service.inference.architectures import quieten
from service.inference.classifier import Classifier
from service.inference.device import pick_device
from service.inference.predictions import read_predictions
from service.jobs.report import REPORT_JSON, Report
from service.jobs.spec import Hyperparameters, resolve
from service.models.bundled import MULTILINGUAL_SMALL
from service.settings import Settings, read_settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.migrate import migrate
from service.store.records import DatasetRecord
from worker.channel import Order
from worker.evaluation.metrics import to_matrix
from worker.run import run


class Done:
    """A supervisor that only notes which model was published."""

    def __init__(self) -> None:
        self.stop_asked = threading.Event()
        self.model_id = ""

    def send(self, kind: str, **content: Any) -> None:
        if kind == "succeeded":
            self.model_id = content["model_id"]


class Product:
    """Jobs as `worker.run` does them, in a data dir that goes with this object."""

    def __init__(self, threads: int, device: str) -> None:
        quieten()
        self._folder = tempfile.TemporaryDirectory()
        self._settings = read_settings(data_dir=Path(self._folder.name), threads=threads, device=device)
        self._database = Database(self._settings.sql_url)
        migrate(self._database)

    def train_and_predict(self, contest: TextSet, hyperparameters: dict[str, Any]) -> Served:
        settings, done = self._settings, Done()
        artifacts = ArtifactStore(settings.artifacts_dir)
        order = order_of(self._store(contest, artifacts), Hyperparameters(**hyperparameters), settings)
        began = time.monotonic()
        run(order, done)
        seconds = time.monotonic() - began
        report = Report.model_validate_json((artifacts.open("reports", done.model_id) / REPORT_JSON).read_text("utf-8"))
        classifier = Classifier.load(artifacts.open("models", done.model_id), pick_device(settings.device))
        rows = classifier.encoder.encode(contest.test.texts)
        scores = classifier.score(rows, settings.max_batch_tokens)
        artifacts.remove("models", done.model_id)
        artifacts.remove("checkpoints", order.job_id)
        return Served(
            probabilities=scores.astype(float),
            predicted=to_matrix([p.labels for p in read_predictions(scores, rows, classifier.card)], contest.labels),
            seconds=seconds,
            reported=report.test.macro_f1,
            hyperparameters=order.hyperparameters.model_dump(),
        )

    def close(self) -> None:
        self._database.close()
        self._folder.cleanup()

    def _store(self, contest: TextSet, artifacts: ArtifactStore) -> DatasetRecord:
        body = contest.as_body()
        splits = {split: body[split] for split in ("train", "val", "test")}
        submission = Submission(contest.name, contest.task, None, splits, Cut())
        return store_dataset(submission, self._settings, self._database, artifacts, project="default")


def order_of(
    dataset: DatasetRecord, asked: Hyperparameters, settings: Settings, base_model: str = MULTILINGUAL_SMALL
) -> Order:
    """As the supervisor would give it for the first attempt at a job."""
    rows = dataset.splits["train"]["rows"]
    return Order(
        job_id=f"job_{dataset.id}",
        attempt=1,
        dataset_id=dataset.id,
        dataset_sha256=dataset.sha256,
        task=dataset.task,
        labels=dataset.labels,
        base_model=base_model,
        hyperparameters=resolve(asked, train_rows=rows, base_model=base_model),
        settings=settings,
    )
