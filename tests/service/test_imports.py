"""Imports without the collector, which is back afterwards."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.imports import without_collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_the_collector_rests_meanwhile_and_passes_over_what_was_made() -> None:
    before = gc.get_freeze_count()
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_it_is_back_when_an_import_fails_and_stays_off_where_it_was_off() -> None:
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    with without_collector():
        pass
    assert not gc.isenabled()


def test_a_runs_libraries_are_imported_so() -> None:
    code = "import worker.child, gc; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "True"]
