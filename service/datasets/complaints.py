"""Collecting what is wrong with an upload, so that its sender learns of all of it at once.

A complaint refuses the upload; a warning is kept with the data set.
"""

from collections.abc import Iterable, Sequence

from service.errors import DatasetInvalid, Detail
from service.store.records import Json

MOST = 100


def shorten(name: str) -> str:
    """A column's name as it may be sent back: not long, and fit to be encoded."""
    return name[:60].encode(errors="replace").decode()


def warning(code: str, message: str, places: Sequence[tuple[str, int]] = ()) -> Json:
    """A warning as it is stored and shown; of the places (split, row) it names the first hundred."""
    rows = [{"split": split, "row": row} for split, row in places[:MOST]]
    return {"code": code, "message": message, "rows": rows}


def listed(names: Iterable[str], most: int = 20) -> str:
    """`'a', 'b', …`: so many at most."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def counted(count: int, noun: str) -> str:
    """`1 text`, `2 texts`"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class Complaints:
    """Faults found so far; counts them all, keeps the first hundred."""

    def __init__(self) -> None:
        self.count = 0
        self.details: list[Detail] = []

    def add(self, message: str, *, split: str | None = None, row: int | None = None, field: str | None = None) -> None:
        self.count += 1
        if len(self.details) < MOST:
            self.details.append(Detail(message, split, row, field and shorten(field)))

    def raise_if_any(self) -> None:
        """Raises: DatasetInvalid that carries every complaint kept."""
        if not self.count:
            return
        first = self.details[0]
        where = ", ".join(
            f"{name} {value}" for name, value in (("split", first.split), ("row", first.row)) if value is not None
        )
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        place = f" in {where}" if where else ""
        raise DatasetInvalid(f"the data set was refused{place}: {first.message}{more}", details=self.details)
