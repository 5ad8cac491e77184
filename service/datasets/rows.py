"""Rows of a split as they were sent, not yet checked, and which of their columns is what."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.datasets.complaints import Complaints, counted, listed, shorten

SEPARATOR = "|"  # between several labels in a table's cell
LABEL_COLUMNS = ("labels", "label")
MAX_COLUMNS, MAX_NAME = 100, 100  # of each table, and characters of a column's name: they are stored with every row


@dataclass(frozen=True, slots=True)
class RawRow:
    text: object
    labels: object
    extra: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RawSplit:
    """Rows as they were sent. `cells`: labels are text cells, in which `|` may separate several. `wide`: each label
    has a column of its own. `numbers`: of each row, where some were left out."""

    rows: list[RawRow]
    cells: bool = False
    wide: tuple[str, ...] = ()
    numbers: Sequence[int] = ()

    def numbered(self) -> Iterator[tuple[int, RawRow]]:
        """Each row with its number as it was sent."""
        return zip(self.numbers, self.rows, strict=True) if self.numbers else enumerate(self.rows)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names as they are written in this upload. Rows share them: a million copies would be much memory."""

    text: str
    labels: str | tuple[str, ...]  # or one column for each label
    others: tuple[str, ...]

    def row(self, values: Mapping[str, Any]) -> RawRow:
        extra = {name: values[name] for name in self.others}
        if isinstance(self.labels, str):
            return RawRow(values[self.text], values[self.labels], extra)
        return RawRow(values[self.text], [name for name in self.labels if is_one(values[name])], extra)


def is_unlabelled(row: RawRow) -> bool:
    """Whether it is empty or null where a label is looked for. An empty list says something: that none applies."""
    return row.labels is None or (isinstance(row.labels, str) and not row.labels.strip())


def is_one(cell: object) -> bool | None:
    """Of 0 and 1, true and false, as numbers or in words; None for anything else."""
    return _ONES.get(str(cell).strip().casefold()) if isinstance(cell, str | int | float) else None


_ONES = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


def _found(header: Sequence[str], *, is_header: bool) -> str:
    """What is there instead. Where no name is right it may be the first row, and texts are not sent back."""
    if is_header:
        return listed([shorten(name) for name in header], most=10)
    return f"{counted(len(header), 'other')}; is a name misspelt, or the header missing?"


def find_columns(
    header: Sequence[str], split: str, complaints: Complaints, row: int | None = None, wide: tuple[str, ...] = ()
) -> Columns | None:
    """The columns by a header, or complaints and None. Names are compared without regard to case. `wide`: what are
    labels where no column holds them."""
    before = complaints.count
    lower = [name.casefold() for name in header]
    texts = [name for name in header if name.casefold() == "text"]
    labels = [name for name in header if name.casefold() in LABEL_COLUMNS]
    for own, field, name in ((texts, "Text", "`Text`"), (labels, "Labels", "`Labels` (or `label`)")):
        if len(own) != 1 and not (own is labels and wide and not own):
            needed = f"needs only one column {name}" if own else f"needs a column {name}"
            found = listed(own) if own else _found(header, is_header=bool(texts or labels))
            complaints.add(f"{needed}; found: {found}", split=split, row=row, field=field)
    if twice := [name for name, count in Counter(lower).items() if count > 1]:
        message = f"names a column twice, {shorten(twice[0])!r}; rename or remove one of them"
        complaints.add(message, split=split, row=row)
    if len(header) > MAX_COLUMNS:
        complaints.add(f"has {len(header)} columns; the most is {MAX_COLUMNS}", split=split, row=row)
    for name in header:
        if len(name) > MAX_NAME:
            message = f"is the name of a column, and longer than {MAX_NAME} characters; is the header missing?"
            complaints.add(message, split=split, row=row, field=name)
    if complaints.count > before:
        return None
    taken = {texts[0], *(labels or wide)}
    return Columns(texts[0], labels[0] if labels else wide, tuple(name for name in header if name not in taken))
