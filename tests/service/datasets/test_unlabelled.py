"""Rows without a label are left out where that is asked for, and everything else counts as it was sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from parts.shelter import Shelter
from parts.toy_text import choosing, columns
from parts.workbooks import workbook
from service.datasets.cutting import Cut
from service.datasets.dataset import SPLITS, Dataset
from service.datasets.files import read_dataset, write_dataset
from service.datasets.ingest import Submission, Upload, build_dataset
from service.datasets.warnings import dataset_warnings
from service.errors import DatasetInvalid, Detail
from service.settings import Settings, read_settings
from service.store.records import Task

TEXTS, CODES = choosing(90)
CELLS = [code if row % 3 == 1 else "" for row, code in enumerate(CODES)]  # one row in three is coded
CODED = [row for row, cell in enumerate(CELLS) if cell]
NULLS = [cell or None for cell in CELLS]
ROWS = list(zip(TEXTS, CELLS, strict=True))
FILES: dict[str, str | bytes] = {
    "a.json": json.dumps(columns(TEXTS, CELLS)),
    "b.json": json.dumps({"Text": TEXTS, "Labels": NULLS}),
    "a.jsonl": "\n".join(json.dumps({"text": text, "label": cell or None}) for text, cell in ROWS),
    "a.csv": "\n".join(["text,label", *(f'"{text}",{cell or " "}' for text, cell in ROWS)]),
    "a.xlsx": workbook(["text", "label"], *ROWS),
    "a.tsv": "\n".join(["label\ttext", *(f"{cell}\t{text}" for text, cell in ROWS)]),
}


def sent(task: Task | None = None, cut: Cut | None = None, /, **splits: object) -> Submission:
    return Submission("answers", task, None, dict(splits), cut or Cut(), "skip")


def build(submission: Submission, settings: Settings | None = None) -> Dataset:
    return build_dataset(submission, settings or read_settings())


def complaint_of(submission: Submission, settings: Settings | None = None) -> Detail:
    with pytest.raises(DatasetInvalid) as raised:
        build(submission, settings)
    return raised.value.details[0]


def warning_of(dataset: Dataset, code: str = "unlabelled_skipped") -> Any:
    found = [warning for warning in dataset_warnings(dataset) if warning["code"] == code]
    assert len(found) <= 1
    return found[0] if found else None


def places_of(dataset: Dataset) -> list[tuple[str, int]]:
    return sorted(dataset.place(split, row) for split in SPLITS for row in range(len(dataset.splits[split])))


@pytest.mark.parametrize("filename", FILES)
def test_a_sheet_that_is_coded_in_part_is_a_data_set_of_its_coded_rows(filename: str) -> None:
    data = FILES[filename]
    dataset = build(sent(train=Upload(filename, data if isinstance(data, bytes) else data.encode())))
    assert dataset.task == "choosing"
    assert places_of(dataset) == [("train", row) for row in CODED]
    assert {(row.text, row.labels) for rows in dataset.splits.values() for row in rows} == {
        (TEXTS[row], (CODES[row],)) for row in CODED
    }
    warning = warning_of(dataset)
    assert warning["rows"] == [{"split": "train", "row": row} for row in range(90) if row not in CODED]
    assert warning["message"].startswith("60 of 90 rows have no label and were left out, as unlabelled=skip asks")
    assert warning_of(dataset, "task_inferred") is None


def test_a_warning_names_a_hundred_rows_at_most_and_counts_all() -> None:
    dataset = build(sent(train=columns(TEXTS * 5, [*CODES, *[""] * 360])))
    assert len(warning_of(dataset)["rows"]) == 100
    assert warning_of(dataset)["message"].startswith("360 of 450 rows have no label")


def test_where_every_row_has_a_label_nothing_is_said_or_changed() -> None:
    dataset = build(sent(train=columns(TEXTS, CODES)))
    assert warning_of(dataset) is None
    assert dataset == build_dataset(
        Submission("answers", None, None, {"train": columns(TEXTS, CODES)}), read_settings()
    )


def test_a_sheet_with_several_codes_in_some_cells_is_for_deciding_and_the_cell_is_named_as_it_was_sent() -> None:
    cells = [f"{CODES[row]}|more" if row == 7 else cell for row, cell in enumerate(CELLS)]
    table = "\n".join(["text,label", *(f'"{text}",{cell}' for text, cell in zip(TEXTS, cells, strict=True))])
    dataset = build(sent(train=Upload("a.csv", table.encode())))
    assert dataset.task == "deciding"
    assert [] not in [list(row.labels) for rows in dataset.splits.values() for row in rows]
    assert warning_of(dataset, "task_inferred")["rows"] == [{"split": "train", "row": 7}]


def test_an_empty_list_and_a_row_of_zeros_say_that_no_label_applies_and_stay() -> None:
    lists = [[code] if row % 3 else [] for row, code in enumerate(CODES)]
    dataset = build(sent(train={"Text": TEXTS, "Labels": [*lists[:80], *[None] * 10]}))
    assert (dataset.task, places_of(dataset)) == ("deciding", [("train", row) for row in range(80)])
    wide = {"Text": TEXTS, "a": [1, 0, 0] * 30, "b": [0, 1, 0] * 30}
    dataset = build(sent(train=wide))
    assert (warning_of(dataset), len(places_of(dataset))) == (None, 90)


def test_rows_of_every_split_are_named_as_they_were_sent(tmp_path: Path) -> None:
    val = {"Text": ["skipped", TEXTS[1], "fresh air for every one of us"], "Labels": ["", CODES[1], CODES[4]]}
    test = {"Text": ["skipped", "skipped", TEXTS[4]], "Labels": [None, "", CODES[4]]}
    dataset = build(sent(train=columns(TEXTS, CELLS), val=val, test=test))
    assert places_of(dataset) == [
        ("test", 2), *(("train", row) for row in CODED), ("val", 1), ("val", 2)
    ]  # fmt: skip
    assert warning_of(dataset, "leakage")["rows"] == [{"split": "val", "row": 1}, {"split": "test", "row": 2}]
    assert warning_of(dataset)["message"].startswith("63 of 96 rows")
    write_dataset(dataset, tmp_path)
    assert read_dataset(tmp_path, dataset.task, dataset.labels) == dataset


def test_complaints_name_rows_and_lines_as_they_were_sent() -> None:
    table = "\n".join(["text,label", *(f'"{text}",{cell}' for text, cell in ROWS), " ,fruit", " ,"])
    detail = complaint_of(sent(train=Upload("a.csv", table.encode())))
    assert (detail.split, detail.row, detail.line, detail.field) == ("train", 90, 92, "Text")
    detail = complaint_of(sent(train=columns(TEXTS, CELLS), val={"Text": ["x", "y"], "Labels": ["", "zebra"]}))
    assert (detail.split, detail.row) == ("val", 1)
    who = ["" if row == 4 else f"r{row // 9}" for row in range(90)]
    detail = complaint_of(sent(None, Cut(group="who"), train={**columns(TEXTS, CELLS), "who": who}))
    assert (detail.split, detail.row, detail.field) == ("train", 4, "who")


def test_a_column_split_is_obeyed_and_names_rows_as_they_were_sent() -> None:
    names = ["test" if row > 60 else "train" for row in range(90)]
    dataset = build(sent(train={**columns(TEXTS, CELLS), "split": names}))
    assert len(dataset.splits["test"]) == sum(row > 60 for row in CODED)
    almost = build(sent(train={**columns(TEXTS, CELLS), "split": [*names[:85], *["?"] * 5]}))
    assert warning_of(almost, "split_column")["rows"] == [{"split": "train", "row": row} for row in CODED if row >= 85]
    val = {"Text": ["x", "y"], "Labels": ["", CODES[1]], "split": ["test", "test"]}
    contradicted = build(sent(train={**columns(TEXTS, CELLS), "split": ["train"] * 90}, val=val))
    assert warning_of(contradicted, "split_column")["rows"] == [{"split": "val", "row": 1}]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_any_label_is_refused(split: str) -> None:
    splits = {"train": columns(TEXTS, CELLS), "val": columns(TEXTS, CELLS)} | {split: columns(TEXTS, [""] * 90)}
    detail = complaint_of(sent(**splits))
    assert (detail.split, detail.row) == (split, None)
    assert detail.message == "has no row with a label, so nothing is left of it; label some rows"


def test_rows_that_would_be_left_out_count_as_rows() -> None:
    """No more than one over the limit is read: what comes after it would be lost in silence."""
    splits = {"train": Upload("a.csv", str(FILES["a.csv"]).encode())}
    assert len(places_of(build(sent(**splits), read_settings(max_rows=90)))) == 30
    detail = complaint_of(sent(**splits), read_settings(max_rows=89))
    assert detail.message == "has too many rows; the most here is 89"
    both = {**splits, "test": columns(TEXTS, CELLS)}
    assert complaint_of(sent(**both), read_settings(max_rows=179)).message.startswith("180 rows in all; the most here")


def test_the_option_is_part_of_what_is_asked_for(shelter: Shelter) -> None:
    splits: dict[str, object] = {"train": columns(TEXTS, CELLS)}
    assert sent(**splits).sha256() != Submission("answers", None, None, splits).sha256()
    record = shelter.store(sent(**splits))
    alone = {"Text": [TEXTS[row] for row in CODED], "Labels": [CODES[row] for row in CODED]}
    assert shelter.store(Submission("answers", None, None, {"train": alone})).sha256 == record.sha256
