"""A column that names the splits is obeyed where train alone was sent, and nothing else is taken for one."""

import json
from typing import Any

import pytest

from parts.toy_text import choosing, columns
from service.datasets.cutting import Cut
from service.datasets.dataset import Dataset
from service.datasets.ingest import Submission, Upload, build_dataset
from service.datasets.warnings import dataset_warnings
from service.errors import DatasetInvalid, Detail
from service.settings import read_settings

TEXTS, LABELS = choosing(30)
CELLS = ["test", "train", "val", "train", "Train ", "training", "train", "dev", "train", "train"] * 3
COLUMNS = {**columns(TEXTS, LABELS), "split": CELLS}
ROWS = list(zip(TEXTS, LABELS, CELLS, strict=True))
FILES = {
    "a.json": json.dumps(COLUMNS),
    "a.jsonl": "\n".join(json.dumps({"Split": cell, "text": text, "label": label}) for text, label, cell in ROWS),
    "a.csv": "\n".join(["text,label,SPLIT", *(f'"{text}",{label},{cell}' for text, label, cell in ROWS)]),
    "a.tsv": "\n".join(["split\ttext\tlabel", *(f"{cell}\t{text}\t{label}" for text, label, cell in ROWS)]),
}


def build(cut: Cut | None = None, /, **splits: object) -> Dataset:
    return build_dataset(Submission("fruit", None, None, dict(splits), cut or Cut()), read_settings())


def notice_of(dataset: Dataset) -> Any:
    found = [warning for warning in dataset_warnings(dataset) if warning["code"] == "split_column"]
    assert len(found) <= 1
    return found[0] if found else None


def sent_rows(dataset: Dataset, split: str) -> list[int | None]:
    return [row.sent_row for row in dataset.splits[split]]


@pytest.mark.parametrize("filename", FILES)
def test_rows_go_to_the_splits_that_the_column_names(filename: str) -> None:
    dataset = build(train=Upload(filename, FILES[filename].encode()))
    assert sent_rows(dataset, "test") == [0, 10, 20]
    assert sent_rows(dataset, "val") == [2, 7, 12, 17, 22, 27]
    assert len(dataset.splits["train"]) == 21
    assert notice_of(dataset)["message"] == (
        "rows were put into the splits that the column 'split' names (train 21, val 6, test 3); rename the column to "
        "have all splits cut anew"
    )


def test_a_split_that_the_column_does_not_name_is_cut_from_train() -> None:
    cells = ["train" if cell == "test" else cell for cell in CELLS]
    dataset = build(Cut(test=0.25), train={**COLUMNS, "split": cells})
    assert sent_rows(dataset, "val") == [2, 7, 12, 17, 22, 27]
    assert (len(dataset.splits["train"]), len(dataset.splits["test"])) == (18, 6)
    assert "(train 24, val 6); test is cut from train" in notice_of(dataset)["message"]


@pytest.mark.parametrize(
    "cells",
    [
        ["train"] * 30,
        [*CELLS[:15], *["rest"] * 15],
        list(range(30)),
        ["yes", "no"] * 15,
    ],
)
def test_any_other_column_of_that_name_is_one_like_others(cells: list[object]) -> None:
    dataset = build(train={**COLUMNS, "split": cells})
    assert {name: len(rows) for name, rows in dataset.splits.items()} == {"train": 18, "val": 6, "test": 6}
    assert notice_of(dataset) is None
    assert {row.extra["split"] for rows in dataset.splits.values() for row in rows} == set(cells)


@pytest.mark.parametrize("cell", ["rest", "holdout", "", None, 3])
def test_a_few_rows_that_name_no_split_keep_the_column_from_being_obeyed_and_a_warning_names_them(cell: object) -> None:
    cells = [*CELLS[:28], cell, cell]
    dataset = build(train={**COLUMNS, "split": cells})
    assert {name: len(rows) for name, rows in dataset.splits.items()} == {"train": 18, "val": 6, "test": 6}
    notice = notice_of(dataset)
    assert notice["message"].startswith("the column 'split' names a split in most rows, but in 2 rows none that")
    assert "so the splits are cut from all rows; write train, val or test in" in notice["message"]
    assert notice["rows"] == [{"split": "train", "row": 28}, {"split": "train", "row": 29}]


def test_eval_means_validation() -> None:
    dataset = build(train={**COLUMNS, "split": ["trn", "eval", "Evaluation", "test", "trn"] * 6})
    assert {name: len(rows) for name, rows in dataset.splits.items()} == {"train": 12, "val": 12, "test": 6}


def test_splits_that_were_sent_are_left_and_what_the_column_says_against_them_is_told() -> None:
    val = {**columns(TEXTS[:6], LABELS[:6]), "split": ["val", "dev", "test", "valid", "validation", "train"]}
    dataset = build(train={**COLUMNS, "split": ["train"] * 29 + ["test"]}, val=val)
    assert len(dataset.splits["val"]) == 6
    warning = notice_of(dataset)
    assert warning["message"].startswith("3 rows sent in one split, while the column 'split' names another")
    assert warning["rows"] == [{"split": split, "row": row} for split, row in (("train", 29), ("val", 2), ("val", 5))]
    agreed = build(train={**COLUMNS, "split": ["train"] * 30}, val={**val, "split": ["dev"] * 6})
    assert notice_of(agreed) is None


def complaint_of(cut: Cut | None = None, /, **splits: object) -> Detail:
    with pytest.raises(DatasetInvalid) as raised:
        build(cut, **splits)
    return raised.value.details[0]


def test_a_column_that_leaves_nothing_to_train_on_is_refused() -> None:
    detail = complaint_of(train={**COLUMNS, "split": ["test"] * 30})
    assert (detail.split, detail.row, detail.field) == ("train", None, "split")
    assert detail.message.startswith("puts no row into train; name some rows train, or rename the column")


def test_rows_in_complaints_and_warnings_are_those_that_were_sent() -> None:
    labels = [*LABELS[:20], "zebra", *LABELS[21:]]
    detail = complaint_of(train={**COLUMNS, "Labels": labels})
    assert (detail.split, detail.row, detail.field) == ("train", 20, "Labels")
    assert detail.message.startswith("label 'zebra' of test does not occur in train")
    texts = [*TEXTS[:20], TEXTS[1].upper(), *TEXTS[21:]]
    warnings = dataset_warnings(build(train={**COLUMNS, "Text": texts}))
    (leak,) = (warning for warning in warnings if warning["code"] == "leakage")
    assert leak["rows"] == [{"split": "train", "row": 20}]


def test_a_share_for_a_split_that_the_column_fills_is_refused() -> None:
    assert complaint_of(Cut(val=0.3), train=COLUMNS).message.startswith("is filled by the column split")
