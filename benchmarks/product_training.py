"""The product's training, in this process, by the very function that a job's process calls."""

import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.in_process import order_of
from benchmarks.training_request import Cost, Meter, Outcome, Request, Texts
from service.datasets.cutting import Cut
from service.datasets.ingest import Submission, store_dataset
from service.inference.architectures import quieten
from service.inference.classifier import Classifier
from service.inference.device import pick_device
from service.jobs.spec import Hyperparameters
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.migrate import migrate
from service.store.records import DatasetRecord
from worker.channel import Order
from worker.run import run


class Watch:
    """A supervisor that only notes what each phase cost."""

    def __init__(self) -> None:
        self.stop_asked = threading.Event()
        self.costs: list[Cost] = []
        self.model_id = ""
        self._meter = Meter()

    def send(self, kind: str, **content: Any) -> None:
        if kind == "succeeded" or content.get("phase") in ("training", "evaluating"):
            self.costs.append(self._meter.read())
        if kind == "succeeded":
            self.model_id = content["model_id"]


def train_as_a_job_does(request: Request) -> Outcome:
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder), base_models_dir=Path(request.checkpoint).parent, threads=request.threads
        )
        order, watch = _order(request, settings), Watch()
        run(order, watch)
        model = ArtifactStore(settings.artifacts_dir).open("models", watch.model_id)
        classifier = Classifier.load(model, pick_device(settings.device), settings.engine, request.threads)
        logits = classifier.logits(classifier.encoder.encode(request.val.texts), settings.max_batch_tokens)
    load, train, publish = watch.costs
    steps = -(-len(request.train.texts) // request.batch_size) * request.epochs
    return Outcome(load, train, steps, logits.tolist(), publish)


def _order(request: Request, settings: Settings) -> Order:
    dataset = _store(request, settings)
    # the head learns from training texts alone: validation loss is asked for, and is to be of texts that nobody saw
    asked = Hyperparameters(
        optimizer="sam",
        batch_size=request.batch_size,
        num_epochs=request.epochs,
        seed=request.seed,
        head_rows="train",
    )
    return order_of(dataset, asked, settings, request.base_model)


def _store(request: Request, settings: Settings) -> DatasetRecord:
    def columns(rows: Texts) -> dict[str, Any]:
        return {"Text": rows.texts, "Labels": [request.labels[target] for target in rows.targets]}

    database = Database(settings.sql_url)
    migrate(database)
    splits: dict[str, Any] = {
        "train": columns(request.train),
        "val": columns(request.val),
        "test": columns(request.test),
    }
    submission = Submission("set", "choosing", None, splits, Cut())
    try:
        return store_dataset(submission, settings, database, ArtifactStore(settings.artifacts_dir), project="default")
    finally:
        database.close()
