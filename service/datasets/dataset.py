"""What a data set is: labelled texts in three splits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from unicodedata import east_asian_width

from service.store.records import Json, Task

SPLITS = ("train", "val", "test")
Scalar = str | int | float | bool | None
Place = tuple[str, int]  # split, row
NOTHING: Mapping[str, Scalar] = {}


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its labels (exactly one for choosing) and whatever other columns came with it.

    `sent_row`: the row's number in `sent_split` as that was sent, where other splits were cut from it or rows were left
    out of it.
    """

    text: str
    labels: tuple[str, ...]
    extra: Mapping[str, Scalar] = field(default_factory=lambda: NOTHING)
    sent_row: int | None = None
    sent_split: str = "train"

    def place(self, split: str, row: int) -> Place:
        """Where its sender finds it, now that it is this row of this split."""
        return (split, row) if self.sent_row is None else (self.sent_split, self.sent_row)


@dataclass(frozen=True, slots=True)
class Dataset:
    """All three splits, checked. `labels` is sorted; its order is the order of a model's outputs.

    `deciding_cells`: cells of a table as it was sent, none or several labels, from which alone the task was inferred.
    `notices`: warnings of how it was read.
    """

    task: Task
    labels: list[str]
    splits: dict[str, list[Example]]
    deciding_cells: Sequence[Place] = field(default=(), compare=False)
    notices: Sequence[Json] = field(default=(), compare=False)

    def place(self, split: str, row: int) -> Place:
        """Where its sender finds a row of a split."""
        return self.splits[split][row].place(split, row)

    def summary(self) -> Json:
        """`{"train": {"rows": 192, "labels": {"a": 64, "b": 128}}, …}`"""
        return {
            name: {"rows": len(rows), "labels": count_labels(rows, self.labels)} for name, rows in self.splits.items()
        }


def count_labels(rows: Sequence[Example], labels: Sequence[str]) -> dict[str, int]:
    """How often each of `labels` occurs in `rows`, zeros included."""
    counts = Counter(label for row in rows for label in row.labels)
    return {label: counts[label] for label in labels}


def wide_letters(text: str) -> int:
    """How many of its letters are Chinese, Japanese or Korean, each of which says more than one of an alphabet."""
    return sum(letter > "\u2e7f" and east_asian_width(letter) == "W" for letter in text)


def folded(text: str) -> str:
    """Texts are the same when this is: case and spacing do not count."""
    return " ".join(text.casefold().split())
