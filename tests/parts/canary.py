"""A file that nobody may read. Reading it changes its time of access, on file systems that keep it."""

import os
from pathlib import Path

import pytest


def set_out(file: Path, text: str) -> Path:
    file.write_text(text)
    _forget_readers(file)
    return file


def must_be_unread(file: Path) -> None:
    """May be asked again. Raises: AssertionError. Skips where nothing would be seen."""
    assert file.stat().st_atime == 0, "the canary was read"
    file.read_bytes()
    if file.stat().st_atime == 0:
        pytest.skip("this file system does not tell who reads")
    _forget_readers(file)


def _forget_readers(file: Path) -> None:
    os.utime(file, (0, file.stat().st_mtime))
