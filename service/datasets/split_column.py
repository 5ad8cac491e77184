"""A column `split` beside text and label: many published tables say in it which split a row is for."""

from collections import Counter
from collections.abc import Mapping, Sequence

from service.datasets.complaints import Complaints, counted, warning
from service.datasets.dataset import SPLITS, Example
from service.store.records import Json

COLUMN = "split"
# `eval` is test in some tables that have `dev` too, but no table trains on it, nor do we where it is val.
_NAMES = dict.fromkeys(("train", "training", "trn"), "train") | {"test": "test"}
_NAMES |= dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val")


def obey_split_column(
    splits: Mapping[str, list[Example]], complaints: Complaints
) -> tuple[dict[str, list[Example]], list[Json]]:
    """The rows in the splits that the column names, where train alone was sent; and `split_column` warnings.

    A column that holds anything but names of splits is one like any other; a warning says so where most are some, for
    then rows that were meant for a test are trained on.
    """
    named = {split: names for split, rows in splits.items() if (names := _named(rows))}
    if len(splits) > 1:
        return dict(splits), _contradictions(splits, named)
    if "train" not in named:
        return dict(splits), _almost(splits["train"])
    counts = Counter(named["train"])
    if not counts.keys() - {"train"}:
        return dict(splits), []
    if not counts["train"]:
        message = "puts no row into train; name some rows train, or rename the column to have the splits cut"
        complaints.add(message, split="train", field=COLUMN)
    parted: dict[str, list[Example]] = {split: [] for split in SPLITS if counts[split]}
    for row, name in zip(splits["train"], named["train"], strict=True):
        parted[name].append(row)
    return parted, [_notice(parted)]


def _named(rows: Sequence[Example]) -> list[str]:
    """The split that the column names for each row; none at all unless it does for every row."""
    names = [name for row in rows if (name := _named_split(row))]
    return names if len(names) == len(rows) else []


def _named_split(row: Example) -> str | None:
    cell = next((value for name, value in row.extra.items() if name.casefold() == COLUMN), None)
    return _NAMES.get(cell.strip().casefold()) if isinstance(cell, str) else None


def _notice(parted: Mapping[str, Sequence[Example]]) -> Json:
    sizes = ", ".join(f"{split} {len(rows)}" for split, rows in parted.items())
    missing = " and ".join(split for split in SPLITS if split not in parted)
    cut = f"; {missing} is cut from train" if missing else ""
    message = f"rows were put into the splits that the column {COLUMN!r} names ({sizes}){cut}; rename the column"
    return warning("split_column", f"{message} to have all splits cut anew")


def _almost(rows: Sequence[Example]) -> list[Json]:
    """One that names the rows that name no split, where most do."""
    unnamed = [row.place("train", number) for number, row in enumerate(rows) if _named_split(row) is None]
    if len(unnamed) >= len(rows) / 2:
        return []
    message = (
        f"the column {COLUMN!r} names a split in most rows, but in {counted(len(unnamed), 'row')} none that is known; "
        "it was not obeyed, so the splits are cut from all rows; write train, val or test in each row to have it "
        "obeyed, or rename the column"
    )
    return [warning("split_column", message, unnamed)]


def _contradictions(splits: Mapping[str, Sequence[Example]], named: Mapping[str, Sequence[str]]) -> list[Json]:
    """One that names every row whose file and whose column say different things."""
    rows = [
        splits[split][row].place(split, row)
        for split, names in named.items()
        for row, name in enumerate(names)
        if name != split
    ]
    if not rows:
        return []
    message = (
        f"{counted(len(rows), 'row')} sent in one split, while the column {COLUMN!r} names another; the column was not "
        "obeyed, because several splits were sent; send all rows as train to have it obeyed, or correct it"
    )
    return [warning("split_column", message, rows)]
