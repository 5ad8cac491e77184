"""`classiglot fetch` against a hub cache that holds what the hub would have sent; the network is not there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file

from parts.tiny_models import build_hub_cache, build_tiny_checkpoint
from service.errors import BaseModelUnavailable, Unacceptable
from service.fetch import fetch
from service.inference import architectures
from service.models.base_models import converted_folder, locate
from service.settings import Settings

GERMAN = "benjamin/roberta-base-wechsel-german"


@pytest.fixture
def hub_cache(tmp_path: Path) -> Iterator[Path]:
    before = huggingface_hub.constants.HF_HUB_CACHE, huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_CACHE = str(tmp_path / "hub")
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    yield tmp_path / "hub"
    huggingface_hub.constants.HF_HUB_CACHE, huggingface_hub.constants.HF_HUB_OFFLINE = before


def pickled(folder: Path, hub_cache: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint whose weights the hub has only in PyTorch's form: where it lies in the cache, and its weights."""
    tiny = build_tiny_checkpoint(GERMAN, folder)
    weights = load_file(tiny / "model.safetensors")
    torch.save(weights, tiny / "pytorch_model.bin")
    (tiny / "model.safetensors").unlink()
    return build_hub_cache(hub_cache, GERMAN, tiny), weights


def test_pickled_weights_are_converted_once_and_equal(tmp_path: Path, hub_cache: Path, settings: Settings) -> None:
    snapshot, weights = pickled(tmp_path / "tiny", hub_cache)
    (snapshot / "onnx").mkdir()
    with pytest.raises(BaseModelUnavailable, match="never loaded"):
        locate(GERMAN, settings)
    folder = fetch(GERMAN, settings)
    assert locate(GERMAN, settings).folder == folder == fetch(GERMAN, settings)
    converted = load_file(folder / "model.safetensors")
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], weights[name]) for name in weights)
    assert not (folder / "pytorch_model.bin").exists()


def test_two_that_convert_at_once_leave_one_folder(
    tmp_path: Path, hub_cache: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled(tmp_path / "tiny", hub_cache)
    write, target = architectures.write_weights, converted_folder(GERMAN, settings)

    def write_while_another_ends(weights: dict[str, torch.Tensor], path: Path) -> None:
        write(weights, path)
        shutil.copytree(path.parent, target)

    monkeypatch.setattr(architectures, "write_weights", write_while_another_ends)
    assert fetch(GERMAN, settings) == target
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, hub_cache: Path, settings: Settings) -> None:
    pickled(tmp_path / "tiny", hub_cache)
    settings.cache_dir.mkdir(parents=True)
    (settings.cache_dir / "base-models").write_text("no folder")
    with pytest.raises(BaseModelUnavailable, match=r"could not be converted: .*base-models"):
        fetch(GERMAN, settings)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def test_a_pickle_with_code_is_not_read(tmp_path: Path, hub_cache: Path, settings: Settings) -> None:
    tiny = build_tiny_checkpoint(GERMAN, tmp_path / "tiny")
    torch.save({"weight": Evil()}, tiny / "pytorch_model.bin")
    (tiny / "model.safetensors").unlink()
    build_hub_cache(hub_cache, GERMAN, tiny)
    with pytest.raises(BaseModelUnavailable, match="not plain weights"):
        fetch(GERMAN, settings)
    assert not Path("canary").exists()
    assert [path for path in settings.cache_dir.rglob("*") if path.is_file()] == []


def test_what_is_here_already_needs_no_network(tmp_path: Path, hub_cache: Path, settings: Settings) -> None:
    build_hub_cache(hub_cache, "FacebookAI/roberta-base", build_tiny_checkpoint("roberta-base", tmp_path / "tiny"))
    assert fetch("roberta-base", settings).is_relative_to(hub_cache)


def test_what_cannot_be_downloaded_or_is_not_allowed_is_said(hub_cache: Path, settings: Settings) -> None:
    assert not hub_cache.exists()
    with pytest.raises(BaseModelUnavailable, match="check the network"):
        fetch("camembert-base", settings)
    with pytest.raises(Unacceptable):
        fetch("gpt2", settings)
    house = settings.model_copy(update={"extra_base_models": ("our own/base/model",)})
    with pytest.raises(BaseModelUnavailable, match="cannot be the name of a model on the hub; copy its checkpoint to"):
        fetch("our own/base/model", house)
