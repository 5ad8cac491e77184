"""Collecting what is wrong with an upload, so that its sender learns of all of it at once.

A complaint refuses the upload; a warning is kept with the data set.
"""

from array import array
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
    """Faults found so far; counts them all, keeps the first hundred.

    Whoever reads a file of lines tells where its rows begin: an editor shows its owner lines, and no rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self.details: list[Detail] = []
        self._lines: dict[str, array[int]] = {}  # of each split, by row

    def begin_row(self, split: str, line: int) -> None:
        """The next row of a split begins in this line of its file."""
        self._lines.setdefault(split, array("I")).append(line)

    def add(self, message: str, *, split: str | None = None, row: int | None = None, field: str | None = None) -> None:
        self.count += 1
        if len(self.details) < MOST:
            self.details.append(Detail(message, split, row, field and shorten(field), self._line(split, row)))

    def _line(self, split: str | None, row: int | None) -> int | None:
        lines = self._lines.get(split or "", ())
        return lines[row] if row is not None and row < len(lines) else None

    def raise_if_any(self) -> None:
        """Raises: DatasetInvalid that carries every complaint kept."""
        if not self.count:
            return
        first = self.details[0]
        where = ", ".join(
            f"{name} {value}" for name, value in (("split", first.split), ("row", first.row)) if value is not None
        )
        where += f" (line {first.line} of the file)" if first.line else ""
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        place = f" in {where}" if where else ""
        raise DatasetInvalid(f"the data set was refused{place}: {first.message}{more}", details=self.details)
