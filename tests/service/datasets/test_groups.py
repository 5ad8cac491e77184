"""Rows of one group, such as the answers of one respondent, are in one split, or a warning says that they are not."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from parts.toy_text import choosing, columns, deciding
from service.datasets.cutting import Cut
from service.datasets.dataset import SPLITS, Dataset
from service.datasets.ingest import Submission, Upload, build_dataset
from service.datasets.warnings import dataset_warnings
from service.errors import DatasetInvalid, Detail
from service.settings import read_settings

TEXTS, LABELS = choosing(60)
WHO = [f"r{row // 3}" for row in range(60)]
SENT = {**columns(TEXTS, LABELS), "respondent": WHO}
BY_WHO = Cut(group="respondent")


def build(cut: Cut | None = None, /, **splits: object) -> Dataset:
    return build_dataset(Submission("fruit", None, None, dict(splits), cut or BY_WHO), read_settings())


def complaints_of(cut: Cut | None = None, /, **splits: object) -> Sequence[Detail]:
    with pytest.raises(DatasetInvalid) as raised:
        build(cut, **splits)
    return raised.value.details


def warning_of(dataset: Dataset) -> Any:
    found = [warning for warning in dataset_warnings(dataset) if warning["code"] == "group_leakage"]
    assert len(found) <= 1
    return found[0] if found else None


def splits_of_groups(dataset: Dataset, column: str = "respondent") -> dict[object, set[str]]:
    found: dict[object, set[str]] = {}
    for split in SPLITS:
        for row in dataset.splits[split]:
            found.setdefault(row.extra[column], set()).add(split)
    return found


@pytest.mark.parametrize("made", [choosing(60), deciding(60)], ids=["choosing", "deciding"])
@pytest.mark.parametrize("seed", range(3))
def test_all_rows_of_a_group_go_to_one_split(made: Any, seed: int) -> None:
    dataset = build(Cut(seed=seed, group="respondent"), train={**columns(*made), "respondent": WHO})
    assert {len(own) for own in splits_of_groups(dataset).values()} == {1}
    assert {name: len(rows) for name, rows in dataset.splits.items()} == pytest.approx(
        {"train": 36, "val": 12, "test": 12}, abs=3
    )
    assert warning_of(dataset) is None


def test_without_being_asked_for_no_column_is_taken_for_one_of_groups() -> None:
    dataset = build(Cut(), train=SENT)
    assert max(len(own) for own in splits_of_groups(dataset).values()) > 1
    assert warning_of(dataset) is None


def test_texts_that_many_groups_have_in_common_part_none() -> None:
    texts = ["Nothing at all" if row % 3 == 0 else text for row, text in enumerate(TEXTS)]
    dataset = build(train={**SENT, "Text": texts})
    assert {len(own) for own in splits_of_groups(dataset).values()} == {1}
    assert all(len(dataset.splits[split]) >= 9 for split in SPLITS)


def test_nearly_equal_texts_of_two_groups_keep_these_together() -> None:
    texts = [f"{TEXTS[row - 6]}!" if row % 12 == 6 else text for row, text in enumerate(TEXTS)]
    dataset = build(train={**SENT, "Text": texts})
    assert not {"leakage", "near_leakage"} & {warning["code"] for warning in dataset_warnings(dataset)}


@pytest.mark.parametrize(
    ("cells", "groups"),
    [
        ([7 + row // 3 for row in range(60)], 20),
        ([f" {row // 3} " if row % 2 else row // 3 for row in range(60)], 20),
        ([float(row // 3) if row % 2 else row // 3 for row in range(60)], 20),
        (["a", "A", "b"] * 20, 3),
    ],
)
def test_values_are_compared_as_they_are_written(cells: list[object], groups: int) -> None:
    dataset = build(Cut(group="Respondent"), train={**SENT, "respondent": cells})
    found: dict[object, set[str]] = {}
    for value, own in splits_of_groups(dataset).items():
        found.setdefault(str(value).strip().removesuffix(".0"), set()).update(own)
    assert len(found) == groups
    assert {len(own) for own in found.values()} == {1}


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    (detail,) = complaints_of(Cut(group="person"), train=SENT)
    assert (detail.split, detail.row, detail.field) == ("train", None, "split.group")
    assert detail.message == (
        "is no column beside text and labels; those are 'respondent'; correct the name, send the column, or leave out "
        "split.group"
    )
    (detail,) = complaints_of(train=SENT, val=columns(TEXTS, LABELS))
    assert (detail.split, "there are none; correct" in detail.message) == ("val", True)


@pytest.mark.parametrize("empty", ["", " ", None])
def test_rows_without_a_value_are_named(empty: object) -> None:
    cells = [empty if row in (4, 50) else who for row, who in enumerate(WHO)]
    details = complaints_of(train={**SENT, "respondent": cells, "split": ["train", "train", "test"] * 20})
    assert [(detail.split, detail.row, detail.field) for detail in details] == [
        ("train", row, "respondent") for row in (4, 50)
    ]
    assert details[0].message == "has no value; write one in each row, of its own where the row belongs to no group"


def test_of_splits_that_were_all_sent_rows_without_a_value_are_named_too() -> None:
    (detail,) = complaints_of(train=SENT, val=SENT, test={**SENT, "respondent": [*WHO[:59], None]})
    assert (detail.split, detail.row) == ("test", 59)


def test_a_row_that_lacks_the_column_has_no_value() -> None:
    rows = [{"text": text, "label": label, "who": who} for text, label, who in zip(TEXTS, LABELS, WHO, strict=True)]
    del rows[7]["who"]
    lines = "\n".join(map(json.dumps, rows)).encode()
    (detail,) = complaints_of(Cut(group="who"), train=Upload("a.jsonl", lines))
    assert (detail.row, detail.line) == (7, 8)


def test_too_few_groups_to_fill_the_splits_are_told_so() -> None:
    (detail,) = complaints_of(train={**SENT, "respondent": ["a", "b"] * 30})
    assert (detail.split, detail.field) == ("train", "split.group")
    assert detail.message.startswith("has 2 different values in train, and its rows stay in one split, so there must")
    assert "be 3 or more; add rows of others, send val and test yourself, or leave out split.group" in detail.message
    assert len(build(train={**SENT, "respondent": ["a", "b"] * 30}, test=SENT).splits["val"]) == 30


def test_groups_that_train_needs_all_are_told_so() -> None:
    details = complaints_of(train={**SENT, "Labels": WHO})
    assert [detail.split for detail in details] == ["val", "test"]
    assert details[0].message == (
        "no group is left for val, because train needs examples of each label (20 of 20 labels have examples in one "
        "group alone); add rows of other groups, or send val yourself"
    )
    sent = {
        "Text": TEXTS[:6],
        "Labels": ["a", "a", "a", "b", "b", "b"],
        "respondent": ["r0", "r0", "r1", "r1", "r2", "r2"],
    }
    (detail,) = complaints_of(train=sent)
    assert detail.message.startswith("no group is left for test, because train needs examples of each label; add rows")


def test_of_splits_that_were_sent_a_warning_names_the_rows_of_groups_that_an_earlier_one_has() -> None:
    cells = {"train": WHO, "val": ["r0", "r0", *map(str, range(58))], "test": ["new", "57", "r19", *["more"] * 57]}
    dataset = build(**{split: {**SENT, "respondent": cells[split]} for split in SPLITS})
    warning = warning_of(dataset)
    assert warning["rows"] == [
        {"split": "val", "row": 0}, {"split": "val", "row": 1}, {"split": "test", "row": 1}, {"split": "test", "row": 2}
    ]  # fmt: skip
    assert warning["message"].startswith("4 rows of val and test with a value of the column 'respondent' that an")


def test_a_column_split_that_parts_groups_gets_the_same_warning() -> None:
    cells = ["train"] * 50 + ["val"] * 5 + ["test"] * 5
    warning = warning_of(build(train={**SENT, "split": cells}))
    assert warning["rows"] == [{"split": "train", "row": row} for row in (50, 55, 56)]


def test_what_is_cut_from_train_is_cut_by_group_though_test_was_sent() -> None:
    dataset = build(train=SENT, test={**columns(TEXTS[:6], LABELS[:6]), "respondent": [f"t{row}" for row in range(6)]})
    assert {len(own) for own in splits_of_groups(dataset).values()} == {1}
    assert warning_of(dataset) is None


def test_an_idempotency_key_of_before_is_known_again() -> None:
    """Whoever asks for no groups asks for the same as before there were any."""
    sent: dict[str, object] = {"train": {"Text": ["x"], "Labels": ["a"]}}
    before = "83d82292126a92cd34a0ccab3b4d382d8af5a4fe93d28b9e258147809311b2e8"
    assert Submission("fruit", "choosing", None, sent).sha256() == before
    assert Submission("fruit", "choosing", None, sent, BY_WHO).sha256() != before
