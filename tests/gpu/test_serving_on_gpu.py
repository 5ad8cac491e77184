"""Predictions on a GPU: those of the processor, and what is said when the GPU breaks or is full."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parts.finished_models import write_model
from parts.toy_text import sentences
from service.inference.classifier import Classifier
from service.models.finished import ModelCard
from service.store.records import Task

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BREAKS = """
import pathlib, sys, torch
from service.errors import DeviceLost
from service.inference.classifier import Classifier
from service.inference.predictions import Encoding
classifier = Classifier.load(pathlib.Path(sys.argv[1]), torch.device("cuda"))
row = classifier.encoder.encode(["apple"])[0]
assert classifier.forward([row]).shape == (1, 3)
try:
    classifier.forward([Encoding(ids=[0, 10**6, 2], truncated=False)])  # no such row in the table of embeddings
except DeviceLost:
    pass
else:
    sys.exit("nothing was said of the broken context")
try:
    classifier.forward([row])
except DeviceLost:
    sys.exit(75)
"""


def card(task: Task) -> ModelCard:
    return ModelCard(task, ["a", "b", "c"], 64, "x", "j", "s", [0.5, 0.4, 0.6] if task == "deciding" else [])


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_labels_are_those_of_float32_and_probabilities_near(task: Task, tmp_path: Path) -> None:
    write_model(tmp_path, card(task))
    served = Classifier.load(tmp_path, CUDA)
    assert served.engine is not None
    assert served.engine.name == "torch"
    exact = Classifier.load(tmp_path, CPU, "torch")
    exact.engine = None
    rows = exact.encoder.encode(sentences("english"))
    expected, found = exact.score(rows, 4096), served.score(rows, 4096)
    assert np.abs(expected - found).max() < 0.01
    thresholds = np.array(card(task).thresholds or [0.5] * 3)
    if task == "choosing":
        assert (expected.argmax(axis=1) == found.argmax(axis=1)).all()
    else:
        assert ((expected >= thresholds) == (found >= thresholds)).all()


def test_a_broken_context_is_told_as_a_lost_device(tmp_path: Path) -> None:
    write_model(tmp_path, card("choosing"))
    done = subprocess.run([sys.executable, "-c", BREAKS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stderr[-2000:]


def test_a_full_gpu_is_told_as_lost_memory_and_serves_again(tmp_path: Path) -> None:
    write_model(tmp_path, card("choosing"))
    classifier = Classifier.load(tmp_path, CUDA)
    rows = classifier.encoder.encode([" ".join(sentences("english")[:20])] * 4096)
    expected = classifier.score(rows[:4], 4096)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**24) / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            classifier.forward(rows)
        assert classifier.score(rows[:4], 4096) == pytest.approx(expected, abs=1e-3)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
