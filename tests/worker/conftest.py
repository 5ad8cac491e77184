from pathlib import Path

import pytest

from parts.tiny_models import build_base_models_dir
from service.inference.architectures import quieten
from service.settings import Settings, read_settings

quieten()


@pytest.fixture(scope="session")
def base_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints of the four families of the language map."""
    return build_base_models_dir(tmp_path_factory.mktemp("base-models"))


@pytest.fixture
def settings(tmp_path: Path, base_models_dir: Path) -> Settings:
    return read_settings(data_dir=tmp_path / "data", base_models_dir=base_models_dir, threads=1, lease_seconds=6)
