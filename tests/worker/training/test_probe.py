from pathlib import Path

import numpy as np
import pytest
import torch

from parts.tiny_models import build_tiny_checkpoint
from service.inference.architectures import load_encoder
from service.inference.network import TextClassifier
from service.store.records import Task
from worker.evaluation.scaling import activate
from worker.training.probe import FINE_TUNED, FROZEN, Strength, fit_probe


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_it_separates_what_is_separable(labels: int, task: Task) -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(labels, dtype=np.int64)[generator.integers(0, labels, 200)]
    features = truth @ generator.normal(size=(labels, 16)) * 3 + generator.normal(size=(200, 16))
    probabilities = activate(fit_probe(features, truth, task).logits(features), task)
    assert (probabilities.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.95
    if task == "choosing":
        assert probabilities[truth == 1].mean() > 0.8


@pytest.mark.parametrize("strength", [FROZEN, FINE_TUNED])
def test_as_many_rows_say_as_much_for_a_label_however_many_labels_there_are(strength: Strength) -> None:
    norms = []
    for labels in (3, 30):
        truth = np.repeat(np.eye(labels, dtype=np.int64), 10, axis=0)
        features = truth + np.random.default_rng(0).normal(size=truth.shape, scale=0.1)
        norms.append(np.linalg.norm(fit_probe(features, truth, "choosing", strength).weight, axis=1).mean())
    assert 0.7 < norms[1] / norms[0] < 1.6


def test_rare_labels_are_not_drowned_by_common_ones() -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.int64)[(np.arange(400) < 20).astype(int)]
    features = truth @ generator.normal(size=(2, 16)) + generator.normal(size=(400, 16))
    found = fit_probe(features, truth, "choosing").logits(features).argmax(axis=1)
    assert (found[:20] == 1).mean() > 0.7
    plain = fit_probe(features, truth, "choosing", class_weight="none").logits(features).argmax(axis=1)
    assert (plain == 1).mean() < (found == 1).mean()


def test_a_label_that_is_always_or_never_there_keeps_a_little_doubt() -> None:
    truth = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 0]])
    features = np.random.default_rng(0).normal(size=(4, 3))
    p = activate(fit_probe(features, truth, "deciding").logits(features), "deciding")
    assert p[:, 0] == pytest.approx(0.9)
    assert p[:, 1] == pytest.approx(0.1)


def test_a_class_that_a_fold_lacks_is_improbable_and_a_single_class_is_certain_enough() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4))
    lacking = np.eye(3, dtype=np.int64)[[0, 2, 0, 2, 0, 2]]
    assert activate(fit_probe(features, lacking, "choosing").logits(features), "choosing")[:, 1].max() < 0.2
    single = np.eye(3, dtype=np.int64)[[1] * 6]
    assert (
        activate(fit_probe(features, single, "choosing").logits(features), "choosing").argmax(axis=1).tolist()
        == [1] * 6
    )


def test_the_network_answers_as_the_probe_did(tmp_path: Path) -> None:
    folder = build_tiny_checkpoint("xlm-roberta-base", tmp_path)
    network = TextClassifier(load_encoder(folder, "xlm-roberta"), 3).eval()
    ids = torch.randint(8, 300, (12, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        features = network.features(ids, mask).numpy()
    probe = fit_probe(features, np.eye(3, dtype=np.int64)[np.arange(12) % 3], "choosing")
    probe.into(network)
    with torch.inference_mode():
        logits = network(ids, mask).numpy()
    assert np.allclose(logits, probe.logits(features), atol=1e-5)
