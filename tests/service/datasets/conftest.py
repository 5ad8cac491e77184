from collections.abc import Iterator
from pathlib import Path

import pytest

from parts.shelter import Shelter


@pytest.fixture
def shelter(tmp_path: Path) -> Iterator[Shelter]:
    shelter = Shelter(tmp_path)
    yield shelter
    shelter.database.close()
