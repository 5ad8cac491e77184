"""Every engine gives what the network itself gives."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parts.finished_models import write_model
from parts.memory import forget_peak
from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from parts.toy_text import sentences
from service.inference import device, engines
from service.inference.architectures import load_encoder
from service.inference.classifier import NEAR, Classifier, near_a_decision
from service.inference.engines import EngineName, make_engine
from service.inference.network import TextClassifier
from service.models.checkpoints import read_config
from service.models.finished import ModelCard
from worker.memory import give_memory_back

CPU = torch.device("cpu")
CARD = ModelCard("choosing", ["a", "b", "c"], 64, "x", "j", "s", [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, CARD)
    return folder


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that has none: all is computed in float32."""
    for module in (engines, device):
        monkeypatch.setattr(module, "has_bfloat16", lambda _: False)


@pytest.mark.usefixtures("without_bfloat16")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("asked", ["openvino", "torch"])
def test_an_exact_engine_equals_the_network_in_all_families(family: str, asked: EngineName, tmp_path: Path) -> None:
    folder = build_tiny_checkpoint(family, tmp_path)
    network = TextClassifier(load_encoder(folder, read_config(folder)["model_type"]), 3).eval()
    engine = make_engine(network, CPU, asked, threads=1)
    assert engine.exact
    pad_id = network.config.pad_token_id
    for shape in [(1, 3), (5, 17), (2, 90)]:
        ids = torch.randint(5, 200, shape)
        mask = torch.ones_like(ids)
        ids[0, shape[1] // 2 :], mask[0, shape[1] // 2 :] = pad_id, 0  # one row is shorter than the others
        with torch.inference_mode():
            expected = network.features(ids, mask)
            assert torch.allclose(engine.features(ids, mask), expected, atol=2e-5), shape


def test_an_answer_is_not_overwritten_by_the_next_one(folder: Path) -> None:
    classifier = Classifier.load(folder, CPU, "openvino")
    first, second = classifier.encoder.encode(["apple", "it rains"])
    answer = classifier.forward([first])
    kept = answer.copy()
    classifier.forward([second])
    assert (answer == kept).all()


@pytest.mark.parametrize("asked", ["openvino", "torch"])
def test_rounding_never_changes_a_label(folder: Path, asked: EngineName) -> None:
    """Also where two labels are as good as even: such texts are computed again."""
    classifier, reference = Classifier.load(folder, CPU, asked), Classifier.load(folder, CPU, asked)
    reference.engine = None
    rows = classifier.encoder.encode(sentences("english")[:400])
    with torch.no_grad():  # the bias that makes the first text a tie but for what float32 can tell, and others nearly
        first = torch.from_numpy(reference.logits(rows[:1], 512))[0] - torch.tensor([1e-3, 0, 0])
        for own in (classifier, reference):
            own.model.head.bias.sub_(first)
    expected, found = reference.logits(rows, 4096), classifier.logits(rows, 4096)
    assert (expected.argmax(axis=1) == found.argmax(axis=1)).all()
    assert near_a_decision(torch.from_numpy(expected), CARD).sum() > 1
    assert np.abs(expected - found).max() < NEAR / 2


def test_what_is_near_a_decision() -> None:
    logits = torch.tensor([[2.0, 1.95, -3.0], [2.0, 1.5, -3.0], [2.0, -3.0, -3.0]])
    assert near_a_decision(logits, CARD).tolist() == [True, False, False]
    deciding = ModelCard("deciding", ["a", "b", "c"], 64, "x", "j", "s", [0.5, 0.5, 0.05])
    logits = torch.tensor([[2.0, -2.0, -2.95], [2.0, -2.0, 0.0], [0.01, -2.0, 0.0]])  # logit(0.05) = -2.94
    assert near_a_decision(logits, deciding).tolist() == [True, False, True]


def test_models_that_were_loaded_and_left_again_take_no_memory(folder: Path) -> None:
    """Where their traces are not forgotten each of these small ones keeps 2.8 MB."""

    def load_and_leave(times: int) -> int:
        for _ in range(times):
            Classifier.load(folder, CPU, "openvino", threads=1)
        gc.collect()
        give_memory_back()
        return forget_peak(os.getpid())

    before = load_and_leave(3)
    assert load_and_leave(10) - before < 10 * 2**20


def test_making_an_engine_reports_to_nobody(folder: Path, tmp_path: Path) -> None:
    """OpenVINO's converter would, with an identifier that it keeps in the home folder."""
    code = (
        "import sys, socket, torch, pathlib\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from service.inference.classifier import Classifier\n"
        "c = Classifier.load(pathlib.Path(sys.argv[1]), torch.device('cpu'), 'openvino')\n"
        "assert c.forward(c.encoder.encode(['apple'])).shape == (1, 3)\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "CI": "false"}
    subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
