"""What is checked of rows and labels, and what is said of those that fail."""

from typing import Any

import pytest

from service.datasets.checks import check_labels, to_examples
from service.datasets.complaints import Complaints
from service.datasets.dataset import Dataset, Example, Scalar
from service.datasets.rows import RawRow, RawSplit
from service.errors import DatasetInvalid, Detail
from service.settings import Settings, read_settings
from service.store.records import Task


def split_of(*labels: object, cells: bool = False) -> RawSplit:
    return RawSplit([RawRow(f"text {number}", label, {}) for number, label in enumerate(labels)], cells)


def examples_of(split: RawSplit, task: Task, settings: Settings | None = None) -> tuple[list[Example], list[Detail]]:
    complaints = Complaints()
    return to_examples(split, "train", task, settings or read_settings(), complaints), complaints.details


def complaint_about(row: RawRow, task: Task = "choosing", **settings: Any) -> Detail:
    details = examples_of(RawSplit([row]), task, read_settings(**settings))[1]
    assert len(details) == 1, details
    assert (details[0].split, details[0].row) == ("train", 0)
    return details[0]


def test_cells_are_split_and_stripped() -> None:
    expected = [("a", "b"), (), ("c",)]
    examples, details = examples_of(split_of(" a | b", "", "c|", cells=True), "deciding")
    assert ([row.labels for row in examples], details) == (expected, [])
    assert examples_of(split_of(" a ", cells=True), "choosing")[0][0].labels == ("a",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "must be a string"),
        (7, "must be a string"),
        (["x"], "must be a string"),
        ("", "is empty"),
        (" \n\u2003", "is empty"),
        ("a\0b", "NUL"),
        ("a\ud800b", "half a surrogate pair"),
    ],
)
def test_a_text_that_is_none_is_refused(text: object, words: str) -> None:
    detail = complaint_about(RawRow(text, "a", {}))
    assert detail.field == "Text"
    assert words in detail.message


@pytest.mark.parametrize("text", ["x" * 40, "ä" * 20, "\U0001f34e" * 10])
def test_a_text_may_have_as_many_bytes_as_the_limit_says(text: str) -> None:
    settings = read_settings(max_text_bytes=40)
    assert examples_of(RawSplit([RawRow(text, "a", {})]), "choosing", settings)[1] == []
    assert complaint_about(RawRow(text + "x", "a", {}), max_text_bytes=40).message == "is longer than 40 bytes; cut it"


@pytest.mark.parametrize(
    ("labels", "task", "words"),
    [
        (["a"], "choosing", "must be one string"),
        ({}, "choosing", "must be one string"),
        (
            None,
            "choosing",
            "is null; give every row a label, or [] where the task is deciding and none applies, or send",
        ),
        (7, "choosing", "is a number; write it in quotation marks"),
        (0.5, "choosing", "is a number; write it in quotation marks"),
        (True, "choosing", "is true; write it in quotation marks"),
        ("a", "deciding", "must be a list of strings"),
        (
            None,
            "deciding",
            "is null; give every row a label, or [] where the task is deciding and none applies, or send",
        ),
        (7, "deciding", "is a number; write it as a list of strings"),
        (False, "deciding", "is false; write it as a list of strings"),
        ([7], "deciding", "holds a number; write it in quotation marks"),
        (["a", None], "deciding", "holds null; leave it out of the list"),
        ([False], "deciding", "holds false; write it in quotation marks"),
        ([["a"]], "deciding", "must hold strings only"),
        ("", "choosing", "is empty"),
        (" ", "choosing", "is empty; give every row a label, or send unlabelled=skip to leave such rows out"),
        (
            "",
            "deciding",
            "is empty; give every row a label, or [] where the task is deciding and none applies, or send",
        ),
        ([""], "deciding", "holds an empty label; leave it out of the list"),
        (["a", "b", "a"], "deciding", "names a label twice"),
        ("x" * 201, "choosing", "is longer than 200 characters"),
        ("a\0", "choosing", "NUL"),
        (["a\udfff"], "deciding", "half a surrogate pair"),
    ],
)
def test_labels_that_are_none_are_refused(labels: object, task: Task, words: str) -> None:
    detail = complaint_about(RawRow("text", labels, {}), task)
    assert detail.field == "Labels"
    assert words in detail.message


def test_labels_may_be_as_long_as_the_limit_and_lists_may_be_empty() -> None:
    examples, details = examples_of(split_of(["x" * 200, "日本語"], []), "deciding")
    assert details == []
    assert [row.labels for row in examples] == [("x" * 200, "日本語"), ()]


def test_extra_columns_are_kept_when_they_are_plain() -> None:
    extra: dict[str, Scalar] = {"source": "mail", "year": 2024, "share": 0.5, "seen": True, "who": None}
    examples, details = examples_of(RawSplit([RawRow("text", "a", extra)]), "choosing")
    assert details == []
    assert examples == [Example("text", ("a",), extra)]


@pytest.mark.parametrize(
    ("extra", "field"),
    [({"n": [1]}, "n"), ({"n": {}}, "n"), ({"n": "a\0"}, "n"), ({"n": "\ud800"}, "n"), ({"\ud800": 1}, None)],
)
def test_extra_columns_that_are_not_plain_are_refused(extra: dict[str, object], field: str | None) -> None:
    assert complaint_about(RawRow("text", "a", extra)).field == field


def test_every_fault_is_collected_with_its_row() -> None:
    rows = [RawRow("", "", {}), RawRow("x", "a", {}), RawRow(None, "a", {"n": []})]
    details = examples_of(RawSplit(rows), "choosing")[1]
    assert [(detail.row, detail.field) for detail in details] == [(0, "Text"), (0, "Labels"), (2, "Text"), (2, "n")]


def test_the_first_complaint_and_their_number_make_the_message() -> None:
    complaints = Complaints()
    complaints.raise_if_any()
    complaints.add("is empty", split="val", row=3, field="Text")
    complaints.add("is empty", split="val", row=4, field="Text")
    with pytest.raises(DatasetInvalid, match=r"in split val, row 3: is empty \(and 1 more\)") as raised:
        complaints.raise_if_any()
    assert [detail.row for detail in raised.value.details] == [3, 4]


# -- label sets ---------------------------------------------------------------------------------------


def dataset_of(task: Task, **splits: list[tuple[str, ...]]) -> Dataset:
    rows = {name: [Example("x", labels) for labels in sets] for name, sets in splits.items()}
    return Dataset(task, sorted({label for sets in splits.values() for labels in sets for label in labels}), rows)


def label_complaints(dataset: Dataset, **settings: Any) -> list[Detail]:
    complaints = Complaints()
    check_labels(dataset, read_settings(**settings), complaints)
    return complaints.details


def test_choosing_needs_two_labels_and_deciding_one() -> None:
    assert "at least 2 different labels" in label_complaints(dataset_of("choosing", train=[("a",)]))[0].message
    assert label_complaints(dataset_of("choosing", train=[("a",), ("b",)])) == []
    assert "at least 1 label;" in label_complaints(dataset_of("deciding", train=[()]))[0].message
    assert label_complaints(dataset_of("deciding", train=[("a",), ()])) == []


def test_there_may_be_as_many_labels_as_the_limit_says() -> None:
    dataset = dataset_of("choosing", train=[("a",), ("b",), ("c",)])
    assert label_complaints(dataset, max_labels=3) == []
    assert [detail.message for detail in label_complaints(dataset, max_labels=2)] == [
        "3 different labels; the most here is 2"
    ]


def test_labels_outside_train_are_named_once_where_they_occur_first() -> None:
    dataset = dataset_of("deciding", train=[("a",), ("b",)], val=[("a",), ("a", "x")], test=[("x",), ("y",), ("y",)])
    details = label_complaints(dataset)
    assert [(detail.split, detail.row) for detail in details] == [("val", 1), ("test", 1)]
    assert "label 'x' does not occur in train" in details[0].message
    assert "label 'y' does not occur in train" in details[1].message
