"""Labels in columns of 0 and 1 are read where no column holds labels, and nothing else is taken for one."""

import json
from typing import Any

import pytest

from service.datasets.dataset import Dataset
from service.datasets.ingest import Submission, Upload, build_dataset
from service.datasets.warnings import dataset_warnings
from service.errors import DatasetInvalid, Detail
from service.settings import read_settings
from service.store.records import Task

JOY, FEAR = [1, 0, 0] * 10, [1, 1, 0] * 10
TEXTS = [f"the text of row {row} says {chr(97 + row % 26) * 3}" for row in range(30)]
WIDE: dict[str, Any] = {"Text": TEXTS, "id": list(range(30)), "joy": JOY, "fear": FEAR}
RECORDS = [dict(zip(WIDE, row, strict=True)) for row in zip(*WIDE.values(), strict=True)]
FILES = {
    "a.json": json.dumps(WIDE),
    "b.json": json.dumps([{**row, "joy": bool(row["joy"])} for row in RECORDS]),
    "a.jsonl": "\n".join(json.dumps({**row, "fear": float(row["fear"])}) for row in RECORDS),
    "a.csv": "\n".join([",".join(WIDE), *(",".join(map(str, row.values())) for row in RECORDS)]),
    "a.tsv": "\n".join(["\t".join(WIDE), *("\t".join(map(str, row.values())) for row in RECORDS)]).replace(
        "\t1", "\tTrue"
    ),
    "b.csv": "\n".join([";".join(WIDE), *(";".join(map(str, row.values())) for row in RECORDS)]),
}


def build(task: Task | None = None, /, **splits: object) -> Dataset:
    return build_dataset(Submission("moods", task, None, dict(splits)), read_settings())


def complaint_of(task: Task | None = None, /, **splits: object) -> Detail:
    with pytest.raises(DatasetInvalid) as raised:
        build(task, **splits)
    return raised.value.details[0]


def notice_of(dataset: Dataset) -> str:
    (found,) = [warning["message"] for warning in dataset_warnings(dataset) if warning["code"] == "wide_labels"]
    return str(found)


@pytest.mark.parametrize("filename", FILES)
def test_columns_of_zeros_and_ones_are_labels_of_a_data_set_for_deciding(filename: str) -> None:
    dataset = build(train=Upload(filename, FILES[filename].encode()))
    assert (dataset.task, dataset.labels) == ("deciding", ["fear", "joy"])
    for row in (row for rows in dataset.splits.values() for row in rows):
        number = row.sent_row
        assert number is not None
        assert set(row.labels) == {name for name in ("joy", "fear") if WIDE[name][number]}
        assert list(row.extra) == ["id"]
    assert notice_of(dataset) == (
        "there is no column `Labels`, so those that hold 0 and 1 alone were read as labels: 'joy', 'fear'; other "
        "columns stay what they are; if one of them holds the labels, rename it to Labels"
    )


def test_where_each_row_has_one_it_is_said_and_may_be_for_choosing() -> None:
    sent = {**WIDE, "fear": [1 - own for own in JOY], "never": [0] * 30}
    assert "'never' is 1 nowhere, so it is left out" in notice_of(build(train=sent))
    assert notice_of(build(train=sent)).endswith("exactly one: if they exclude each other, send task=choosing")
    chosen = build("choosing", train=sent)
    assert (chosen.task, chosen.labels) == ("choosing", ["fear", "joy"])
    assert "task=choosing" not in notice_of(chosen)


@pytest.mark.parametrize(("row", "held"), [(0, "2 label columns"), (2, "0 label columns")])
def test_choosing_needs_exactly_one_in_each_row(row: int, held: str) -> None:
    sent = {name: [column[row], *column[3:]] for name, column in WIDE.items()}
    detail = complaint_of("choosing", train=sent)
    assert (detail.split, detail.row, detail.field) == ("train", 0, "Labels")
    assert detail.message == f"has 1 in {held}; write it in exactly one of them, because the task is choosing"


@pytest.mark.parametrize("fear", [[*FEAR[:29], 2], [*FEAR[:29], None], [*FEAR[:29], ""], [*FEAR[:29], [1]], ["x"] * 30])
def test_one_such_column_is_not_enough(fear: list[object]) -> None:
    assert complaint_of(train={**WIDE, "fear": fear}).message.startswith("needs a column `Labels` (or `label`); found")


def test_where_labels_are_there_such_columns_are_like_others() -> None:
    dataset = build(train={**WIDE, "label": ["a", "b"] * 15})
    assert dataset.labels == ["a", "b"]
    assert list(dataset.splits["test"][0].extra) == ["id", "joy", "fear"]
    assert "wide_labels" not in [warning["code"] for warning in dataset_warnings(dataset)]


def test_splits_whose_columns_differ_are_told_so() -> None:
    detail = complaint_of(train={**WIDE, "calm": JOY}, val={**WIDE, "calm": [2, *JOY[1:]]})
    assert detail.split == "val"
    assert detail.message.startswith(
        "has no column `Labels`, and 0 and 1 alone in 'joy', 'fear', but train has them in 'joy', 'fear', 'calm'"
    )


def test_faults_in_such_a_table_are_those_of_any_table() -> None:
    table = "text,joy,fear\nx,1,0\ny,1\n"
    detail = complaint_of(train=Upload("a.csv", f"{table}z,0,1\n".encode()))
    assert (detail.row, detail.message[:30]) == (1, "has 2 cells where the header h")
    swallowed = 'text,joy,fear\nx,1,0\n"to be,1,0\nor not",0,1\n'
    detail = complaint_of(train=Upload("a.csv", swallowed.encode()))
    assert "takes lines 3 to 4, each of which looks like a row" in detail.message
    detail = complaint_of(train=Upload("a.jsonl", b'{"text": "x", "joy": 1, "fear": 0}\n{"text": \n'))
    assert (detail.row, detail.line) == (1, 2)
