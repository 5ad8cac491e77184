"""One split read as the service reads it."""

from service.datasets.complaints import Complaints
from service.datasets.formats import read_file
from service.datasets.rows import RawRow, RawSplit
from service.errors import Detail
from service.settings import Settings, read_settings

SETTINGS = read_settings()
ROWS = [RawRow("one", "a", {}), RawRow("two, or more", "b", {})]


def read(filename: str, data: bytes | str, settings: Settings = SETTINGS) -> tuple[RawSplit, list[Detail]]:
    """With what was complained of."""
    complaints = Complaints()
    split = read_file(filename, data.encode() if isinstance(data, str) else data, "train", complaints, settings)
    return split, complaints.details


def rows_of(filename: str, data: bytes | str) -> list[RawRow]:
    split, details = read(filename, data)
    assert not details
    return split.rows


def complaint_of(filename: str, data: bytes | str) -> Detail:
    """The only one."""
    (detail,) = read(filename, data)[1]
    return detail
