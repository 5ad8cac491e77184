"""Training runs on tiny models: a stored data set, an order, and a supervisor that only listens."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from parts.toy_text import choosing, columns, deciding
from service.datasets.cutting import Cut
from service.datasets.ingest import Submission, store_dataset
from service.jobs.report import REPORT_JSON, Report
from service.jobs.spec import Hyperparameters, resolve
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import DatasetRecord, Task
from worker.channel import Order
from worker.run import run


class Listener:
    """Remembers what a run says. `on_message` may set `stop_asked` or raise, as a kill would."""

    def __init__(self, on_message: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self.stop_asked = threading.Event()
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._on_message = on_message

    def send(self, kind: str, **content: Any) -> None:
        self.messages.append((kind, content))
        if self._on_message:
            self._on_message(kind, content)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [content for own, content in self.messages if own == kind]


def store_toy_dataset(
    settings: Settings, database: Database, task: Task = "choosing", rows: int = 120, language: str = "english"
) -> DatasetRecord:
    texts, labels = choosing(rows, language=language) if task == "choosing" else deciding(rows)
    submission = Submission("toy", task, language, {"train": columns(texts, labels)}, Cut())
    return store_dataset(submission, settings, database, ArtifactStore(settings.artifacts_dir), project="default")


def make_order(
    settings: Settings, dataset: DatasetRecord, base_model: str, job_id: str = "job_1", **asked: Any
) -> Order:
    """An order for quick training of a tiny model; `asked` overrides hyperparameters."""
    quick = {"learning_rate": 2e-3, "num_epochs": 3, "max_length": 64, "batch_size": 16}
    rows = dataset.splits["train"]["rows"]
    return Order(
        job_id=job_id,
        attempt=1,
        model_id=new_id("mdl"),
        dataset_id=dataset.id,
        dataset_sha256=dataset.sha256,
        task=dataset.task,
        labels=dataset.labels,
        base_model=base_model,
        hyperparameters=resolve(Hyperparameters(**(quick | asked)), train_rows=rows, base_model=base_model),
        settings=settings,
    )


def run_to_the_end(order: Order) -> tuple[Listener, Path]:
    """Runs in this process; returns what was said and the published model's folder."""
    listener = Listener()
    run(order, listener)
    (outcome,) = listener.all("succeeded")
    return listener, ArtifactStore(order.settings.artifacts_dir).open("models", outcome["model_id"])


def read_report(settings: Settings, listener: Listener) -> Report:
    folder = ArtifactStore(settings.artifacts_dir).open("reports", listener.all("succeeded")[0]["model_id"])
    return Report.model_validate_json((folder / REPORT_JSON).read_text())


def published_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_equal_bit_for_bit(one: Path, other: Path) -> None:
    first, second = published_weights(one), published_weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


class Killed(BaseException):
    """Stands for SIGKILL: nothing between here and the top may write anything more."""


def run_and_die(order: Order, epoch: int) -> None:
    """Runs until the end of that epoch is told, whose checkpoint is not written yet."""

    def die(kind: str, content: dict[str, Any]) -> None:
        if kind == "epoch" and content["epoch"] == epoch:
            raise Killed

    with pytest.raises(Killed):
        run(order, Listener(die))
