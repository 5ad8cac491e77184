"""What only a GPU can show. Without one these tests are skipped; `pytest tests/gpu` checks one."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from parts.tiny_models import build_base_models_dir
from service.inference.architectures import quieten
from service.settings import Settings, read_settings

HERE = Path(__file__).parent

quieten()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


@pytest.fixture(scope="session")
def base_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base_models_dir(tmp_path_factory.mktemp("base-models"))


@pytest.fixture
def settings(tmp_path: Path, base_models_dir: Path) -> Settings:
    return read_settings(data_dir=tmp_path / "data", base_models_dir=base_models_dir, device="cuda")
