"""Rows that belong together by a column, as several answers of one respondent do: apart they flatter the model too."""

from collections.abc import Mapping, Sequence

from service.datasets.complaints import Complaints, counted, listed, shorten, warning
from service.datasets.dataset import SPLITS, Dataset, Example
from service.store.records import Json

FIELD = "split.group"


def check_groups(splits: Mapping[str, Sequence[Example]], column: str, complaints: Complaints) -> None:
    """Complains of splits without the column, and of rows without a value: their group may be any."""
    for name, rows in splits.items():
        if not _spellings(rows, column):
            complaints.add(_why_no_column(rows), split=name, field=FIELD)
            continue
        for number, group in enumerate(groups_of(rows, column)):
            if not group:
                split, row = rows[number].place(name, number)
                message = "has no value; write one in each row, of its own where the row belongs to no group"
                complaints.add(message, split=split, row=row, field=column)


def groups_of(rows: Sequence[Example], column: str) -> list[str]:
    """Of each row the value of the column, as it is written: a table has no numbers, and spaces around are slips."""
    names = _spellings(rows, column)
    return [_written(next((row.extra[name] for name in names if name in row.extra), None)) for row in rows]


def group_warnings(dataset: Dataset, column: str) -> list[Json]:
    """`group_leakage`, where val or test, as they were sent, have rows of a group that an earlier split has too."""
    earlier: set[str] = set()
    places = []
    for split in SPLITS:
        groups = groups_of(dataset.splits[split], column)
        places += [dataset.place(split, row) for row, group in enumerate(groups) if group in earlier]
        earlier.update(groups)
    if not places:
        return []
    message = (
        f"{counted(len(places), 'row')} of val and test with a value of the column {shorten(column)!r} that an earlier "
        "split has too, so results look too good; put all rows of a value into one split, or send all rows as train, "
        "without a column 'split', to have them cut so"
    )
    return [warning("group_leakage", message, places)]


def _spellings(rows: Sequence[Example], column: str) -> list[str]:
    """The column's name as rows have it: case does not count."""
    known = {name: None for row in rows for name in row.extra}
    return [name for name in known if name.casefold() == column.casefold()]


def _why_no_column(rows: Sequence[Example]) -> str:
    others = list(dict.fromkeys(shorten(name) for row in rows for name in row.extra))
    found = f"those are {listed(others)}" if others else "and there are none"
    return f"is no column beside text and labels; {found}; correct the name, send the column, or leave out split.group"


def _written(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.15g}" if isinstance(value, float) else str(value).strip()
