"""The same figures for parts of the test split: by any extra column, language first."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Example
from service.jobs.report import Slice
from service.store.records import Task
from worker.evaluation.intervals import label_intervals
from worker.evaluation.metrics import Binary, macro_f1, present_labels

MOST_VALUES = 30  # a column with more is a number or a name, not a group
LEAST_ROWS = 5
MOST_COLUMNS = 100
LANGUAGE_COLUMNS = ("language", "lang")
Rows = NDArray[np.int64]


def slice_columns(rows: Sequence[Example]) -> list[str]:
    """Extra columns that put the rows into two to thirty groups (those without it are one): language first, then those
    that most rows have."""
    values: dict[str, set[str]] = {}
    having: Counter[str] = Counter()
    for row in rows:  # only what it brings itself: rows of JSONL may each have columns of their own
        for name, value in row.extra.items():
            own = values.setdefault(name, set())
            if value is not None and len(own) <= MOST_VALUES:
                own.add(str(value))
                having[name] += 1
    groups = {name: len(own) + (having[name] < len(rows)) for name, own in values.items()}
    useful = [name for name, count in groups.items() if 2 <= count <= MOST_VALUES and having[name] >= LEAST_ROWS]
    useful.sort(key=lambda name: (name.casefold() not in LANGUAGE_COLUMNS, -having[name], name))
    return useful[:MOST_COLUMNS]


def groups_of(rows: Sequence[Example], column: str) -> dict[str, Rows]:
    """value → numbers of the rows that have it, the commonest first; rows without a value are in none."""
    values = [None if row.extra.get(column) in (None, "") else str(row.extra[column]) for row in rows]
    counts = Counter(value for value in values if value is not None)
    return {
        value: np.array([number for number, own in enumerate(values) if own == value])
        for value, _ in counts.most_common()
    }


def make_slices(rows: Sequence[Example], truth: Binary, predicted: Binary, task: Task) -> list[Slice]:
    """Every group of at least five rows. Macro-F1 is over the labels that occur in it."""
    return [
        _slice(column, value, truth[own], predicted[own], task)
        for column in slice_columns(rows)
        for value, own in groups_of(rows, column).items()
        if len(own) >= LEAST_ROWS
    ]


def present_macro_f1(truth: Binary, predicted: Binary) -> float:
    """Macro-F1 over the labels that occur in these rows."""
    present = present_labels(truth)
    return macro_f1(truth[:, present], predicted[:, present])


def _slice(column: str, value: str, truth: Binary, predicted: Binary, task: Task) -> Slice:
    figures = label_intervals(truth, predicted, task, present_labels(truth))
    return Slice(column=column, value=value[:200], rows=len(truth), **figures)
