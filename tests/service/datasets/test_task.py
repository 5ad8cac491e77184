"""The task that follows from the form of the labels."""

import pytest

from service.datasets.complaints import Complaints
from service.datasets.dataset import Place
from service.datasets.rows import RawRow, RawSplit
from service.datasets.task import infer_task
from service.store.records import Task


def split_of(*labels: object, cells: bool = False) -> RawSplit:
    return RawSplit([RawRow(f"text {number}", label, {}) for number, label in enumerate(labels)], cells)


def inferred(**splits: RawSplit) -> tuple[Task, list[Place]]:
    complaints = Complaints()
    found = infer_task(splits, complaints)
    complaints.raise_if_any()
    return found


@pytest.mark.parametrize(
    ("split", "task", "cells"),
    [
        (split_of("a", "b"), "choosing", []),
        (split_of("a|b", ""), "choosing", []),  # not a table's cells: a label may look like this
        (split_of("a", "b", cells=True), "choosing", []),
        (split_of("a", "a|b", cells=True), "deciding", [1]),
        (split_of(" ", "a", "|", cells=True), "deciding", [0, 2]),
        (split_of("a", ["b"], "", cells=True), "deciding", []),
    ],
)
def test_the_task_follows_from_the_form_of_the_labels(split: RawSplit, task: Task, cells: list[int]) -> None:
    train = split_of("a", cells=split.cells)
    assert inferred(train=train, val=split) == (task, [("val", row) for row in cells])


@pytest.mark.parametrize("slip", ["", " ", "a|b"])
@pytest.mark.parametrize("reverse", [False, True])
def test_strings_beside_a_table_say_that_its_cells_are_for_choosing(slip: str, reverse: bool) -> None:
    splits = {"train": split_of("a", "b"), "val": split_of("a", slip, cells=True)}
    assert inferred(**(dict(reversed(splits.items())) if reverse else splits)) == ("choosing", [])


def test_splits_whose_labels_have_different_forms_are_told_apart() -> None:
    complaints = Complaints()
    splits = {"train": split_of("a", "b"), "val": split_of("a"), "test": split_of(["a"], [])}
    infer_task(splits, complaints)
    infer_task({"train": split_of([]), "val": split_of("a")}, complaints)
    detail, other = complaints.details
    assert (detail.split, detail.row, detail.field, other.split) == ("test", None, "Labels", "val")
    assert detail.message.startswith("labels are strings in train and val, but lists of strings in test; write all as")


def test_a_table_or_a_split_of_both_forms_is_not_another_form() -> None:
    assert inferred(train=split_of("a", "a|b", cells=True), test=split_of(["a"])) == ("deciding", [])
    assert inferred(train=split_of(["a"], []), test=split_of([])) == ("deciding", [])
    assert inferred(train=split_of("a"), test=split_of("a", ["b"])) == ("deciding", [])  # rows are complained of
