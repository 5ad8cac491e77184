"""Gradients in parts are those of the whole."""

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from parts.tiny_models import build_tiny_checkpoint
from parts.toy_text import sentences
from service.models.base_models import describe_checkpoint
from service.store.records import Task
from worker.training import batches
from worker.training.batches import TrainingRow
from worker.training.gradients import Gradients
from worker.training.loss import ClassificationLoss, make_loss, make_targets
from worker.training.model import Network, load_network
from worker.training.sam import gradient_norm

CPU = torch.device("cpu")
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory (from a test)")
TRUTH: dict[Task, np.ndarray] = {
    "choosing": np.eye(3, dtype=np.int64)[[0, 1, 0, 2, 0, 0, 1, 0, 0]],
    "deciding": np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]] * 3, dtype=np.int64),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = build_tiny_checkpoint("roberta-base", tmp_path_factory.mktemp("base"))
    network = load_network(describe_checkpoint("roberta-base", folder), 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(network.model.head.weight, std=0.3)
    network.model.eval()  # without dropout, which parts draw in another order
    return network


def make_gradients(network: Network, task: Task = "choosing", told: list[str] | None = None) -> Gradients:
    loss, tell = make_loss(TRUTH[task], task, "balanced"), (told if told is not None else []).append
    return Gradients(network.model, list(network.model.parameters()), network.encoder(64), loss, task, CPU, tell)


def make_rows(network: Network, task: Task) -> list[TrainingRow]:
    encodings = network.encoder(64).encode(sentences("english")[: len(TRUTH[task])])
    return batches.make_rows(encodings, TRUTH[task], task)


def compute(gradients: Gradients, rows: list[TrainingRow]) -> tuple[float, list[Tensor]]:
    loss = gradients.of(rows)
    return loss, [parameter.grad.clone() for parameter in gradients.parameters if parameter.grad is not None]


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_the_sum_over_its_size_is_torchs_own_mean(task: Task) -> None:
    logits = torch.randn(9, 3)
    weighted = make_loss(TRUTH[task], task, "balanced")
    truth = TRUTH[task]
    targets = make_targets(truth.argmax(1).tolist() if task == "choosing" else [*truth], task, CPU)
    for loss in (weighted, ClassificationLoss(task, None)):
        theirs = (
            torch.nn.CrossEntropyLoss(weight=loss.weight)
            if task == "choosing"
            else torch.nn.BCEWithLogitsLoss(pos_weight=loss.weight)
        )
        assert loss(logits, targets) / loss.size(targets) == pytest.approx(float(theirs(logits, targets)), rel=1e-5)


@pytest.mark.parametrize("task", ["choosing", "deciding"])
@pytest.mark.parametrize("most", [1, 30, 60])
def test_parts_add_up_to_the_whole(network: Network, monkeypatch: pytest.MonkeyPatch, task: Task, most: int) -> None:
    monkeypatch.setattr("worker.training.gradients.autocast", lambda _: nullcontext())  # bfloat16 rounds other sums
    rows = make_rows(network, task)
    gradients = make_gradients(network, task)
    whole_loss, whole = compute(gradients, rows)
    gradients.max_tokens, gradients.most_padding = most, 2
    loss, parts = compute(gradients, rows)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    differences = [mine - theirs for mine, theirs in zip(parts, whole, strict=True)]
    assert gradient_norm(differences) < 1e-4 * gradient_norm(whole)


@pytest.mark.parametrize(
    "error",
    [
        OUT_OF_MEMORY,
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_where_memory_runs_out_the_parts_are_halved_until_they_fit(
    network: Network, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    """A device whose memory takes 40 tokens, in place of a GPU's."""
    rows, told = make_rows(network, "choosing"), list[str]()
    gradients = make_gradients(network, told=told)
    expected, _ = compute(gradients, rows)
    seen = limit_memory(network, monkeypatch, 40, error)
    gradients.max_tokens = 256
    loss, _ = compute(gradients, rows)
    assert loss == pytest.approx(expected, rel=0.01)
    assert 20 <= gradients.max_tokens <= 40
    said = [int(line.split()[-4]) for line in told]
    assert said[-1] == gradients.max_tokens
    assert all(later <= before // 2 for before, later in pairwise([max(seen), *said]))
    tried = len(seen)
    compute(gradients, rows)  # what was learnt is kept
    assert all(tokens <= 40 for tokens in seen[tried:])


def test_what_is_halved_is_what_was_tried_and_not_a_limit_far_above_it(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, told = make_rows(network, "choosing"), list[str]()
    gradients = make_gradients(network, told=told)
    gradients.max_tokens = gradients.most_padding = 65_536
    seen = limit_memory(network, monkeypatch, len(rows) * max(len(row.encoding.ids) for row in rows) - 1)
    compute(gradients, rows)
    assert len(told) == 1
    assert gradients.max_tokens == seen[0] // 2


def test_where_the_targets_are_too_much_the_limit_is_halved(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, gradients = make_rows(network, "choosing"), make_gradients(network)
    before, answers = gradients.max_tokens, iter([OUT_OF_MEMORY])

    def full_at_first(*of: Any) -> Tensor:
        if error := next(answers, None):
            raise error
        return make_targets(*of)

    monkeypatch.setattr("worker.training.gradients.make_targets", full_at_first)
    gradients.of(rows)
    assert gradients.max_tokens == before // 2


def test_a_text_that_never_fits_is_said_to(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = make_gradients(network)
    limit_memory(network, monkeypatch, 2)
    with pytest.raises(torch.OutOfMemoryError):
        gradients.of(make_rows(network, "choosing"))


def limit_memory(
    network: Network, monkeypatch: pytest.MonkeyPatch, tokens: int, error: RuntimeError = OUT_OF_MEMORY
) -> list[int]:
    """More than so many tokens at once raise what CUDA raises; returns the sizes of the passes tried."""
    seen: list[int] = []
    features = network.model.features

    def limited(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        seen.append(input_ids.numel())
        if input_ids.numel() > tokens:
            raise error
        return features(input_ids, attention_mask)

    monkeypatch.setattr(network.model, "features", limited)
    return seen
