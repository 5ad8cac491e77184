"""Labels as columns of their own, 0 or 1 in each row, as most public data with several labels per text has them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from typing import Any, cast

from service.datasets.complaints import Complaints, listed, warning
from service.datasets.rows import LABEL_COLUMNS, MAX_COLUMNS, RawRow, RawSplit, is_one
from service.store.records import Json, Task

FEWEST = 2  # columns; one alone is more likely something else


def wide_columns(header: Sequence[str], rows: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """The columns that hold 0 and 1 (or true and false) alone; none where there are labels, no text or only one such.

    Reads on only as long as there are some: there may be no end.
    """
    lower = {name.casefold() for name in header}
    if "text" not in lower or not lower.isdisjoint(LABEL_COLUMNS) or len(header) > MAX_COLUMNS:
        return ()
    names, read = tuple(name for name in header if name.strip() and name.casefold() != "text"), False
    for row in rows:
        names, read = tuple(name for name in names if is_one(row.get(name)) is not None), True
        if len(names) < FEWEST:
            return ()
    return names if read else ()


def wide_keys(objects: Iterable[object]) -> tuple[str, ...]:
    """The same for rows that are objects, up to the first that is none: the file is refused then."""
    rows = cast("Iterator[dict[str, Any]]", takewhile(lambda row: isinstance(row, dict), objects))
    first = next(rows, {})
    return wide_columns(tuple(first), chain([first], rows))


def check_wide(raw: Mapping[str, RawSplit], task: Task, complaints: Complaints) -> list[Json]:
    """`wide_labels`, where splits have such columns; in all that do they must be the same."""
    wide = {name: split for name, split in raw.items() if split.wide}
    if not wide:
        return []
    first, columns = next((name, split.wide) for name, split in wide.items())
    for name, split in wide.items():
        if set(split.wide) != set(columns):
            message = (
                f"has no column `Labels`, and 0 and 1 alone in {listed(split.wide)}, but {first} has them in "
                f"{listed(columns)}; correct the cells, or send a column Labels"
            )
            complaints.add(message, split=name, field="Labels")
    return [_notice(columns, [row for split in wide.values() for row in split.rows], task)]


def _notice(columns: Sequence[str], rows: Sequence[RawRow], task: Task) -> Json:
    counts = {len(row.labels) for row in rows if isinstance(row.labels, list)}
    used = {label for row in rows if isinstance(row.labels, list) for label in row.labels}
    never = [name for name in columns if name not in used]
    said = [f"there is no column `Labels`, so those that hold 0 and 1 alone were read as labels: {listed(columns)}"]
    said += [f"{listed(never)} is 1 nowhere, so it is left out"] * bool(never)
    said += ["other columns stay what they are; if one of them holds the labels, rename it to Labels"]
    said += ["each row has exactly one: if they exclude each other, send task=choosing"] * (
        task == "deciding" and counts == {1}
    )
    return warning("wide_labels", "; ".join(said))
