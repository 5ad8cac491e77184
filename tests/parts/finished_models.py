"""Published models that are real in all but knowledge: a tiny base model under a head that was never trained."""

import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from parts.rows import add_model
from parts.tiny_models import build_tiny_checkpoint
from parts.toy_text import sentences
from service.inference.classifier import embed
from service.inference.published import save_published
from service.models.base_models import BaseCheckpoint
from service.models.finished import ModelCard, write_card
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import ModelRecord, Task
from worker.training.model import Network, load_network, save_tokenizer

LABELS = ("animal", "fruit", "weather")
BASE = "xlm-roberta-base"


def publish(
    database: Database,
    artifacts: ArtifactStore,
    *,
    task: Task = "choosing",
    labels: Sequence[str] = LABELS,
    max_length: int = 64,
    seed: int = 0,
    spoilt: bool = False,
    **values: Any,
) -> ModelRecord:
    """Puts a model's folder and row where a finished job puts them. Another `seed` gives other scores.

    `spoilt`: its weights are not what its manifest says, from before anybody can ask for it.
    """
    model_id, job_id = new_id("mdl"), new_id("job")
    thresholds = [0.5] * len(labels) if task == "deciding" else []
    card = ModelCard(task, list(labels), max_length, BASE, job_id, "0" * 64, thresholds)
    with artifacts.staging() as folder:
        write_model(folder, card, seed)
        values["manifest_sha256"] = artifacts.publish(folder, "models", model_id)
    if spoilt:
        weights = artifacts.path("models", model_id) / "model.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    row = {"id": model_id, "job_id": job_id, "task": task, "labels": list(labels), "base_model": BASE}
    return add_model(database, **row, **values)


def publish_changed(
    database: Database,
    artifacts: ArtifactStore,
    folder: Path,
    change: Callable[..., object],
    *arguments: object,
    **values: Any,
) -> ModelRecord:
    """What `write_model` wrote to `folder`, after a `change` to a copy of it by somebody who could change its checksums
    too."""
    model_id = new_id("mdl")
    with artifacts.staging() as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        change(staged, *arguments)
        values["manifest_sha256"] = artifacts.publish(staged, "models", model_id)
    return add_model(database, id=model_id, **values)


def withdraw_all(database: Database) -> None:
    """Takes the rows of all models away, made by hand as they are: no job knows of one."""
    with database.write() as tx:
        tx.exec_driver_sql("DELETE FROM models")


def write_model(folder: Path, card: ModelCard, seed: int = 0) -> None:
    """The folder of a published model, as the worker writes it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = BaseCheckpoint(BASE, _base(), BASE.removesuffix("-base"), card.max_length)
        network = load_network(base, len(card.labels))
        _spread_out(network)
    save_published(network.model, card.labels, card.task, folder)
    save_tokenizer(network.tokenizer, card.max_length, folder)
    write_card(card, folder)


def _spread_out(network: Network) -> None:
    """Gives the head weights by which usual sentences get different labels, with scores far from even."""
    encoder = network.encoder(64)
    usual = embed(network.model, encoder, encoder.encode(sentences("english")[:50]), torch.device("cpu"), 4096)
    with torch.no_grad():
        network.model.head.weight.normal_(std=0.4)
        network.model.head.bias.copy_(-network.model.head.weight @ torch.from_numpy(usual.mean(axis=0)))


@functools.cache
def _base() -> Path:
    """Built once a process, and gone with it."""
    folder = tempfile.TemporaryDirectory(prefix="classiglot-tests-")
    _kept.append(folder)
    return build_tiny_checkpoint(BASE, Path(folder.name))


_kept: list[tempfile.TemporaryDirectory[str]] = []
