"""B36: folders that are hostile, as base models and as finished ones whose checksums fit: refused before a library
opens anything in them, with a canary that nobody reads, no code run, no network."""

import json
import os
import pickle
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from parts.finished_models import write_model
from parts.tiny_models import build_tiny_checkpoint
from service.errors import ArtifactCorrupt, BaseModelUnavailable
from service.inference import architectures
from service.inference.classifier import Classifier
from service.models.base_models import available, locate
from service.models.finished import CARD, ModelCard
from service.settings import Settings, read_settings
from worker.training.model import load_network

CHOOSING = ModelCard("choosing", ["a", "b", "c"], 64, "x", "j", "0" * 64)
GIANT = {"hidden_size": 16_000, "num_hidden_layers": 96, "intermediate_size": 64_000, "num_attention_heads": 100}


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
    """A file that is not the checkpoint's. Reading it changes its time of access, on file systems that keep it."""
    file = tmp_path / "canary.txt"
    file.write_text("<s>\n<pad>\nsecret\n")
    os.utime(file, (0, 0))
    yield file
    assert file.stat().st_atime == 0, "the canary was read"
    file.read_bytes()
    if file.stat().st_atime == 0:
        pytest.skip("this file system does not tell who reads")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def only_pickle(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(canary.with_name("ran"))))


def shards_elsewhere(folder: Path, canary: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "model-1.safetensors")
    names = {"a": "model-1.safetensors", "b": f"../../{canary.name}"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def shards_of_pickle(folder: Path, canary: Path) -> None:
    only_pickle(folder, canary)
    (folder / "model-1.safetensors").write_bytes(b"")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))


def code_beside(folder: Path, canary: Path) -> None:
    mark = canary.with_name("ran")
    for name in ("modeling_evil.py", "tokenization_evil.py", "configuration_evil.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w')\n")


def with_code(where: str) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, canary: Path) -> None:
        code_beside(folder, canary)
        classes = {"AutoConfig": "configuration_evil.C", "AutoModel": "modeling_evil.M", "AutoTokenizer": [None, "t.T"]}
        change(folder / where, auto_map=classes)

    return spoil


def in_config(**values: object) -> Callable[[Path, Path], None]:
    return lambda folder, _: change(folder / "config.json", **values)


def in_tokenizer(*names: str, **values: object) -> Callable[[Path, Path], None]:
    return lambda folder, canary: change(
        folder / "tokenizer_config.json", **{name: str(canary) for name in names}, **values
    )


# what is done to a good folder, and words of the refusal
HOSTILE: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "only pickled weights": (only_pickle, "safetensors"),
    "shards elsewhere": (shards_elsewhere, "not safetensors in its folder"),
    "shards that are pickled": (shards_of_pickle, "not safetensors in its folder"),
    "code of its own": (with_code("config.json"), "auto_map"),
    "code of its own for the tokenizer": (with_code("tokenizer_config.json"), "auto_map"),
    "a vocabulary elsewhere": (in_tokenizer("vocab_file"), "elsewhere"),
    "merges elsewhere": (in_tokenizer("merges_file"), "elsewhere"),
    "a tokenizer elsewhere": (in_tokenizer("tokenizer_file"), "elsewhere"),
    "a relative path": (in_tokenizer(vocab_file="../canary.txt"), "elsewhere"),
    "a list of files": (in_tokenizer(fast_tokenizer_files=["../tokenizer.1.json"]), "elsewhere"),
    "arguments of a tokenizer": (in_tokenizer(init_inputs=["/etc/passwd"]), "elsewhere"),
    "another tokenizer's class": (in_tokenizer(tokenizer_class="RagTokenizer"), "tokenizer_class"),
    "no class at all": (in_tokenizer(tokenizer_class=["os.system"]), "tokenizer_class"),
    "a kernel from the hub": (in_config(_attn_implementation="evil/kernel"), "kernel"),
    "a kernel, inside": (in_config(_attn_implementation_internal="evil/kernel:attention"), "kernel"),
    "a kernel in an object": (in_config(attn_implementation={"": "evil/kernel"}), "kernel"),
    "300 GB of weights": (in_config(**GIANT), "more weights than its files hold"),
    "a giant vocabulary": (in_config(vocab_size=3_999_999), "more weights than its files hold"),
    "endless layers": (in_config(num_hidden_layers=10**18), "num_hidden_layers"),
    "no layers": (in_config(num_hidden_layers=-1), "num_hidden_layers"),
    "a width that is text": (in_config(hidden_size="768"), "hidden_size"),
    "a width that is true": (in_config(hidden_size=True), "hidden_size"),
    "a padding id beyond": (in_config(pad_token_id=10**9), "pad_token_id"),
    "a fraction that is none": (in_config(hidden_dropout_prob=float("nan")), "hidden_dropout_prob"),
    "a fraction that is text": (in_config(layer_norm_eps="1e-5"), "layer_norm_eps"),
    "an id that is a list": (in_config(eos_token_id=[2]), "eos_token_id"),
    "another kind of model": (in_config(model_type="gpt2"), "no other kind of model"),
    "no kind of model": (in_config(model_type=["roberta"]), "no other kind of model"),
    "40,000 lists": (lambda folder, _: none(folder.joinpath("config.json").write_text("[" * 40_000)), "config.json"),
}


def none(_: object) -> None:
    """For what is called for its effect."""


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> tuple[Callable[[Path, Path], None], str]:
    spoil: tuple[Callable[[Path, Path], None], str] = HOSTILE[request.param]
    return spoil


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


def test_a_hostile_base_model_is_refused_before_anything_is_loaded(
    home: Settings, canary: Path, hostile: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, words = hostile
    base = locate("roberta-base", home)
    spoil(base.folder, canary)
    forbid_loading(monkeypatch)
    with pytest.raises(BaseModelUnavailable, match=words) as caught:
        locate("roberta-base", home)
    assert "secret" not in caught.value.message
    assert "evil" not in caught.value.message
    assert not canary.with_name("ran").exists()
    assert "roberta-base" in available(home)  # that its files are there is all that this says


@pytest.fixture
def finished(tmp_path: Path, built: Path) -> Path:
    """A finished model's folder; whoever can change it can change its checksums too."""
    return Path(shutil.copytree(built / "finished", tmp_path / "finished"))


def test_a_hostile_finished_model_is_refused(
    finished: Path, canary: Path, hostile: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, words = hostile
    spoil(finished, canary)
    forbid_loading(monkeypatch)
    with pytest.raises(ArtifactCorrupt, match=words):
        Classifier.load(finished, torch.device("cpu"))
    assert not canary.with_name("ran").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"task": "guessing"},
        {"labels": []},
        {"labels": ["a", 7]},
        {"labels": "abc"},
        {"labels": [f"l{number}" for number in range(10_000)]},
        {"max_length": 10**9},
        {"max_length": 129},
        {"max_length": -1},
        {"max_length": "64"},
        {"task": "deciding", "thresholds": [0.5]},
        {"task": "deciding", "thresholds": [0.5, 2.0, 0.5]},
        {"task": "deciding", "thresholds": [0.5, None, 0.5]},
        {"base_model": 7},
    ],
    ids=str,
)
def test_a_card_that_does_not_fit_its_model_is_refused(finished: Path, values: dict[str, object]) -> None:
    change(finished / CARD, **values)
    with pytest.raises(ArtifactCorrupt):
        Classifier.load(finished, torch.device("cpu"))


def garbage(path: Path) -> None:
    path.write_bytes(b"{}")


def more_tokens(path: Path) -> None:
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"].append(["zebra", -1.0])
    path.write_text(json.dumps(tokenizer))


def giant_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [("tokenizer.json", garbage), ("tokenizer.json", more_tokens), ("model.safetensors", giant_header)],
)
def test_files_that_do_not_fit_are_refused(finished: Path, name: str, spoil: Callable[[Path], None]) -> None:
    spoil(finished / name)
    with pytest.raises(ArtifactCorrupt):
        Classifier.load(finished, torch.device("cpu"))


@pytest.mark.parametrize(("name", "spoil"), [("tokenizer.json", garbage), ("model.safetensors", giant_header)])
def test_a_base_model_whose_files_do_not_fit_is_refused(
    home: Settings, name: str, spoil: Callable[[Path], None]
) -> None:
    base = locate("roberta-base", home)
    spoil(base.folder / name)
    with pytest.raises(BaseModelUnavailable):
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
