"""The product in this very process: neither HTTP nor a start for each run, so for many runs.

What is computed is what `benchmarks.product` gets; seconds are of the work alone, and do not compare with its.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.product import Served
from benchmarks.sets import TextSet
from service.datasets.cutting import Cut
from service.datasets.ingest import Submission, store_dataset
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
from service.store.ids import new_id
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


@dataclass(frozen=True, slots=True)
class Trained:
    """A published model, loaded as the service loads it, and the job that made it."""

    classifier: Classifier
    report: Report
    seconds: float
    order: Order


class Product:
    """Jobs as `worker.run` does them, in a data dir that goes with this object."""

    def __init__(self, threads: int, device: str) -> None:
        quieten()
        self._folder = tempfile.TemporaryDirectory()
        self._settings = read_settings(data_dir=Path(self._folder.name), threads=threads, device=device)
        self._database = Database(self._settings.sql_url)
        migrate(self._database)

    def train_and_predict(self, contest: TextSet, hyperparameters: dict[str, Any]) -> Served:
        with self.trained(contest, hyperparameters) as trained:
            classifier = trained.classifier
            rows = classifier.encoder.encode(contest.test.texts)
            scores = classifier.score(rows, self._settings.max_batch_tokens)
            predicted = to_matrix([p.labels for p in read_predictions(scores, rows, classifier.card)], contest.labels)
            return Served(
                probabilities=scores.astype(float),
                predicted=predicted,
                seconds=trained.seconds,
                reported=trained.report.test.macro_f1,
                hyperparameters=trained.order.hyperparameters.model_dump(),
            )

    @contextmanager
    def trained(self, contest: TextSet, hyperparameters: dict[str, Any]) -> Iterator[Trained]:
        """What a job publishes; its files are gone afterwards."""
        settings, done = self._settings, Done()
        artifacts = ArtifactStore(settings.artifacts_dir)
        order = order_of(self._store(contest, artifacts), Hyperparameters(**hyperparameters), settings)
        began = time.monotonic()
        run(order, done)
        seconds = time.monotonic() - began
        report = (artifacts.open("reports", done.model_id) / REPORT_JSON).read_text("utf-8")
        classifier = Classifier.load(artifacts.open("models", done.model_id), pick_device(settings.device))
        try:
            yield Trained(classifier, Report.model_validate_json(report), seconds, order)
        finally:
            artifacts.remove("models", done.model_id)
            artifacts.remove("checkpoints", order.job_id)

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
        model_id=new_id("mdl"),
        dataset_id=dataset.id,
        dataset_sha256=dataset.sha256,
        task=dataset.task,
        labels=dataset.labels,
        base_model=base_model,
        hyperparameters=resolve(asked, train_rows=rows, base_model=base_model),
        settings=settings,
    )
