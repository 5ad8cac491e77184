"""Rows without a label are left out where that is asked for: a sheet is often coded in part."""

from array import array
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Literal

from service.datasets.complaints import MOST, Complaints, counted, warning
from service.datasets.dataset import Place
from service.datasets.rows import RawSplit, is_unlabelled
from service.store.records import Json

Unlabelled = Literal["skip"]


def leave_out_unlabelled(raw: Mapping[str, RawSplit], complaints: Complaints) -> tuple[dict[str, RawSplit], list[Json]]:
    """The splits without such rows, and `unlabelled_skipped`. A row of zeros in columns of labels stays, as an empty
    list does: it says that none applies."""
    kept: dict[str, RawSplit] = {}
    places: list[Place] = []
    left_out = 0
    for name, split in raw.items():
        numbers = array("I", (number for number, row in split.numbered() if not is_unlabelled(row)))
        if not numbers:
            complaints.add("has no row with a label, so nothing is left of it; label some rows", split=name)
        left = len(split.rows) - len(numbers)
        left_out += left
        places += islice(((name, number) for number, row in split.numbered() if is_unlabelled(row)), MOST)
        kept[name] = replace(split, rows=[split.rows[n] for n in numbers], numbers=numbers) if left else split
    if not left_out:
        return kept, []
    rows = sum(len(split.rows) for split in raw.values())
    message = (
        f"{left_out} of {counted(rows, 'row')} have no label and were left out, as unlabelled=skip asks; if an empty "
        "cell means that no label applies, send the rows that are labelled alone, and without this option"
    )
    return kept, [warning("unlabelled_skipped", message, places)]
