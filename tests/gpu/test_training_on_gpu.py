"""Runs on a GPU: whole, resumed, and out of memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from parts.runs import make_order, read_report, run_and_die, run_to_the_end, store_toy_dataset
from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from parts.toy_text import choosing, sentences
from service.inference.classifier import Classifier
from service.inference.predictions import read_predictions
from service.models.base_models import describe_checkpoint
from service.settings import Settings
from service.store.database import Database
from worker.training.batches import TrainingRow
from worker.training.gradients import Gradients
from worker.training.loss import make_loss
from worker.training.model import load_network
from worker.training.randomness import random_state, restore_random_state
from worker.training.sam import gradient_norm

CPU = torch.device("cpu")
MIB = 2**20


@pytest.mark.parametrize("base_model", FAMILIES)
@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_job_of_each_family_learns_and_serves_on_the_processor_too(
    settings: Settings, sqlite: Database, base_model: str, task: str
) -> None:
    dataset = store_toy_dataset(settings, sqlite, task, rows=320)  # type: ignore[arg-type]
    listener, folder = run_to_the_end(make_order(settings, dataset, base_model, num_epochs=12, learning_rate=3e-3))
    (told,) = [note["message"] for note in listener.all("note") if "training on" in note["message"]]
    assert "training on cuda" in told
    assert listener.all("epoch")[-1]["train_loss"] < listener.all("epoch")[0]["train_loss"]
    if task == "choosing":
        classifier = Classifier.load(folder, CPU, "torch")
        texts, labels = choosing(30, seed=9)
        rows = classifier.encoder.encode(texts)
        answers = [p.label for p in read_predictions(classifier.score(rows, 4096), rows, classifier.card)]
        assert sum(answer == label for answer, label in zip(answers, labels, strict=True)) > 20


@pytest.mark.parametrize("asked", [{}, {"frozen_share": 0.5, "repeats": 2}, {"optimizer": "asam", "sam_start": 0.0}])
def test_a_run_that_is_killed_resumes_and_ends_as_the_undisturbed_one(
    settings: Settings, sqlite: Database, asked: dict[str, Any]
) -> None:
    """Not bit for bit: some of CUDA's sums are made in another order each time."""
    dataset = store_toy_dataset(settings, sqlite)
    asked = {"fine_tuned_share": 1.0} | asked
    undisturbed, _ = run_to_the_end(make_order(settings, dataset, "roberta-base", **asked))
    order = make_order(settings, dataset, "roberta-base", "job_2", **asked)
    run_and_die(order, epoch=3)
    again, _ = run_to_the_end(order.model_copy(update={"attempt": 2}))
    assert any("resumed after step" in note["message"] for note in again.all("note"))
    last, expected = again.all("epoch")[-1], undisturbed.all("epoch")[-1]
    assert last["train_loss"] == pytest.approx(expected["train_loss"], rel=0.1)
    report, other = read_report(settings, again), read_report(settings, undisturbed)
    assert report.test.accuracy == pytest.approx(other.test.accuracy, abs=0.1)


@pytest.fixture
def gradients(tmp_path: Path) -> tuple[Gradients, list[TrainingRow], list[str]]:
    """Of a tiny network without dropout, over texts of 100 tokens; and what it tells of memory."""
    network = load_network(describe_checkpoint("roberta-base", build_tiny_checkpoint("roberta-base", tmp_path)), 3)
    model = network.model.to("cuda").eval()
    torch.nn.init.normal_(model.head.weight, std=0.3)
    truth = np.eye(3, dtype=np.int64)[np.arange(2048) % 3]
    loss = make_loss(truth, "choosing", "balanced").to("cuda")
    encoder, told = network.encoder(100), list[str]()
    text = " ".join(sentences("english")[:40])
    rows = [TrainingRow(row, number % 3) for number, row in enumerate(encoder.encode([text] * 2048))]
    parameters = list(model.parameters())
    return Gradients(model, parameters, encoder, loss, "choosing", torch.device("cuda"), told.append), rows, told


def grads(gradients: Gradients) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in gradients.parameters if parameter.grad is not None]


def test_a_gpu_that_runs_out_of_memory_gets_half_as_much_at_a_time(
    gradients: tuple[Gradients, list[TrainingRow], list[str]],
) -> None:
    own, rows, told = gradients
    own.max_tokens = 8_192
    expected = own.of(rows)
    whole = grads(own)
    assert told == []
    own.max_tokens = 2**20
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64 * MIB) / total)
    try:
        loss = own.of(rows)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert told, "2048 texts of 100 tokens keep 470 MiB of activations"
    assert own.max_tokens < 2**20
    assert loss == pytest.approx(expected, rel=0.01)
    differences = [mine - theirs for mine, theirs in zip(grads(own), whole, strict=True)]
    assert gradient_norm(differences) < 0.05 * gradient_norm(whole)


def test_both_passes_of_sam_see_one_network(gradients: tuple[Gradients, list[TrainingRow], list[str]]) -> None:
    own, rows, _ = gradients
    own.model.train()
    draws = random_state()
    first = own.of(rows[:16])
    restore_random_state(draws)
    assert own.of(rows[:16]) == pytest.approx(first, rel=1e-5)
    assert own.of(rows[:16]) != pytest.approx(first, rel=1e-5)
