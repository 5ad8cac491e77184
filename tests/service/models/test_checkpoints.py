"""B36: folders that are hostile, as base models and as finished ones whose checksums fit: refused before a library
opens anything in them, with a canary that nobody reads, no code run, no network."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from parts.canary import must_be_unread, set_out
from parts.finished_models import write_model
from parts.hostile_models import CANARY_TEXT, HOSTILE, UNFIT, UNFIT_FINISHED, Spoil, change, mark_of_code
from parts.tiny_models import build_tiny_checkpoint
from service.errors import ArtifactCorrupt, BaseModelUnavailable
from service.inference import architectures
from service.inference.classifier import Classifier
from service.models.base_models import available, locate
from service.models.finished import ModelCard
from service.settings import Settings, read_settings
from worker.training.model import load_network

CHOOSING = ModelCard("choosing", ["a", "b", "c"], 64, "x", "j", "0" * 64)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any look at the network fails the test, also where a library would swallow the error."""
    tried: list[object] = []

    def refuse(*arguments: object) -> None:
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that is not the checkpoint's."""
    file = set_out(tmp_path / "canary.txt", CANARY_TEXT)
    yield file
    assert not mark_of_code(file).exists()
    must_be_unread(file)


each_hostile_folder = pytest.mark.parametrize(("spoil", "words"), HOSTILE.values(), ids=[*HOSTILE])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good base model and a good finished one, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("built")
    build_tiny_checkpoint("roberta-base", folder / "roberta-base")
    (folder / "finished").mkdir()
    write_model(folder / "finished", CHOOSING)
    return folder


@pytest.fixture
def home(tmp_path: Path, built: Path) -> Settings:
    """With one good base model."""
    shutil.copytree(built / "roberta-base", tmp_path / "models" / "roberta-base")
    return read_settings(data_dir=tmp_path / "data", base_models_dir=tmp_path / "models")


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' ways into a folder: none may be taken for one that is refused."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a library was asked to load it")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)
    monkeypatch.setattr(torch, "load", fail)
    for architecture in architectures.ARCHITECTURES.values():
        monkeypatch.setattr(architecture.encoder, "from_pretrained", fail)


@each_hostile_folder
def test_a_hostile_base_model_is_refused_before_anything_is_loaded(
    home: Settings, canary: Path, spoil: Spoil, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = locate("roberta-base", home)
    spoil(base.folder, canary)
    forbid_loading(monkeypatch)
    with pytest.raises(BaseModelUnavailable, match=words) as caught:
        locate("roberta-base", home)
    assert "secret" not in caught.value.message
    assert "evil" not in caught.value.message
    assert "roberta-base" in available(home)  # that its files are there is all that this says


@pytest.fixture
def finished(tmp_path: Path, built: Path) -> Path:
    """A finished model's folder; whoever can change it can change its checksums too."""
    return Path(shutil.copytree(built / "finished", tmp_path / "finished"))


@each_hostile_folder
def test_a_hostile_finished_model_is_refused(
    finished: Path, canary: Path, spoil: Spoil, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(finished, canary)
    forbid_loading(monkeypatch)
    with pytest.raises(ArtifactCorrupt, match=words):
        Classifier.load(finished, torch.device("cpu"))


@pytest.mark.parametrize(("spoil", "words"), UNFIT_FINISHED.values(), ids=[*UNFIT_FINISHED])
def test_a_finished_model_whose_files_do_not_fit_each_other_is_refused(
    finished: Path, canary: Path, spoil: Spoil, words: str
) -> None:
    spoil(finished, canary)
    with pytest.raises(ArtifactCorrupt, match=words):
        Classifier.load(finished, torch.device("cpu"))


@pytest.mark.parametrize(("spoil", "words"), UNFIT.values(), ids=[*UNFIT])
def test_a_base_model_whose_files_do_not_fit_is_refused(home: Settings, canary: Path, spoil: Spoil, words: str) -> None:
    base = locate("roberta-base", home)
    spoil(base.folder, canary)
    with pytest.raises(BaseModelUnavailable, match=words):
        load_network(base, 3)


def test_what_old_checkpoints_have_is_let_pass(home: Settings) -> None:
    """Keys that name nothing which is read."""
    folder = locate("roberta-base", home).folder
    old = {"_name_or_path": "/root/x", "gradient_checkpointing": False, "torch_dtype": "float32", "is_decoder": True}
    change(folder / "config.json", **old, _attn_implementation="sdpa", quantization_config={"quant_method": "evil"})
    change(folder / "tokenizer_config.json", special_tokens_map_file="/root/.cache/x.json", tokenizer_file=None)
    network = load_network(locate("roberta-base", home), 3)
    assert not network.model.config.is_decoder
    assert not hasattr(network.model.config, "quantization_config")
