"""Every form in which a split may arrive, and what is said of one that is not in any."""

import json

import pytest

from parts.raw_splits import ROWS, SETTINGS, complaint_of, read, rows_of
from parts.toy_text import choosing, columns
from service.datasets import json_text
from service.datasets.checks import to_examples
from service.datasets.complaints import Complaints
from service.datasets.formats import read_file, read_json
from service.datasets.rows import RawRow, RawSplit
from service.errors import DatasetInvalid, Unreadable, UnsupportedMedia

FILES = {
    "t.json": '{"Text": ["one", "two, or more"], "Labels": ["a", "b"]}',
    "t.jsonl": '{"text": "one", "label": "a"}\n{"text": "two, or more", "labels": "b"}\n',
    "t.ndjson": '{"text": "one", "label": "a"}\n{"text": "two, or more", "label": "b"}\n',
    "records.json": '[{"text": "one", "label": "a"}, {"Text": "two, or more", "labels": "b"}]',
    "t.csv": 'text,label\none,a\n"two, or more",b\n',
    "t.tsv": "text\tlabel\none\ta\ntwo, or more\tb\n",
}


@pytest.mark.parametrize("filename", FILES)
def test_every_form_gives_the_same_rows(filename: str) -> None:
    assert rows_of(filename, FILES[filename]) == ROWS
    assert rows_of(f"A.{filename.upper()}", FILES[filename]) == ROWS


@pytest.mark.parametrize("filename", FILES)
def test_a_byte_order_mark_is_let_pass(filename: str) -> None:
    assert rows_of(filename, b"\xef\xbb\xbf" + FILES[filename].encode()) == ROWS


@pytest.mark.parametrize("filename", ["t.csv", "t.tsv", "t.jsonl"])
def test_line_ends_may_be_mixed(filename: str) -> None:
    first, second = FILES[filename].replace("\n", "\r\n", 1).rstrip("\n").rsplit("\n", 1)
    assert (
        rows_of(filename, f"{first}\n\n \r\n{second}" if filename == "t.jsonl" else f"{first}\n\n\r\n{second}") == ROWS
    )


@pytest.mark.parametrize("filename", ["t.csv", "t.tsv"])
def test_a_table_in_utf_16_is_refused_with_what_to_do(filename: str) -> None:
    detail = complaint_of(filename, FILES[filename].encode("utf-16"))
    assert detail.split == "train"
    assert "save the file as UTF-8" in detail.message


def test_json_in_utf_16_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unreadable, match=r"the file for train is not UTF-8 .* save it as UTF-8"):
        read("t.json", FILES["t.json"].encode("utf-16"))
    assert "save it as UTF-8" in read("t.jsonl", FILES["t.jsonl"].encode("utf-16"))[1][0].message


@pytest.mark.parametrize("filename", ["t.exe", "t", "", "t.json.gz", "json", "../t.exe"])
def test_another_extension_is_refused_with_those_that_are_read(filename: str) -> None:
    with pytest.raises(UnsupportedMedia, match=r"\.json, \.jsonl, \.csv, \.tsv"):
        read(filename, FILES["t.json"])


@pytest.mark.parametrize("filename", ["t.ods", "T.XLS"])
def test_another_workbook_is_refused_with_how_to_save_it(filename: str) -> None:
    with pytest.raises(UnsupportedMedia, match=r"\.csv, .*; save the workbook as one \(\.xlsx\), or .* CSV UTF-8"):
        read(filename, b"PK")


# -- JSON ---------------------------------------------------------------------------------------------


def test_column_names_are_read_in_any_case_and_extra_columns_are_kept() -> None:
    split = read_json({"TEXT": ["x"], "label": [["a"]], "Source": [7]}, "train", Complaints())
    assert split == RawSplit([RawRow("x", ["a"], {"Source": 7})])


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ([], None, "must be an object"),
        ("x", None, "must be an object"),
        ({}, "Text", "needs a column `Text`; found: 0 others"),
        ({"Text": ["x"]}, "Labels", "needs a column `Labels` (or `label`); found: 'Text'"),
        ({"Text": ["x"], "Labels": ["a"], "label": ["a"]}, "Labels", "needs only one column `Labels`"),
        ({"Text": ["x"], "text": ["x"], "Labels": ["a"]}, "Text", "only one column `Text`; found: 'Text', 'text'"),
        ({"Text": ["x"], "Labels": ["a"], "n": [1], "N": [1]}, None, "names a column twice"),
        ({"Text": "x", "Labels": ["a"]}, "Text", "must be a list"),
        ({"Text": ["x"], "Labels": {"0": "a"}}, "Labels", "must be a list"),
        ({"Text": ["x", "y"], "Labels": ["a"]}, "Labels", "Text has 2, Labels has 1"),
        ({"Text": ["x"], "Labels": ["a"], "n": []}, "Labels", "n has 0"),
    ],
)
def test_what_is_not_columns_is_told_so(value: object, field: str | None, words: str) -> None:
    complaints = Complaints()
    assert read_json(value, "val", complaints).rows == []
    detail = complaints.details[0]
    assert (detail.split, detail.field) == ("val", field)
    assert words in detail.message


def test_a_broken_line_is_named_and_the_rest_is_read_on() -> None:
    data = '{"text": "x", "label": "a"}\n\n{"text": "y", "label": \n{"text": "z"}\n["z", "a"]\nnull\n'
    details = read("t.jsonl", data)[1]
    assert [(detail.split, detail.row, detail.line, detail.field) for detail in details] == [
        ("train", 1, 3, None),
        ("train", 2, 4, "Labels"),
        ("train", 3, 5, None),
        ("train", 4, 6, None),
    ]
    assert "is not JSON" in details[0].message
    assert "must be an object" in details[2].message
    assert "must be an object" in details[3].message


@pytest.mark.parametrize(
    ("filename", "data"),
    [
        ("t.jsonl", '\n{"text": "x", "label": "a"}\n\n\n{"text": "x", "label": ""}\n'),
        ("t.csv", 'sep=,\ntext,label\n"x\ny",a\nx,\n'),
        ("t.csv", "text,label\nx,a\n,\n\nx,\n"),
    ],
)
def test_a_row_of_a_file_of_lines_is_named_with_the_line_that_it_begins_in(filename: str, data: str) -> None:
    complaints = Complaints()
    split = read_file(filename, data.encode(), "train", complaints, SETTINGS)
    to_examples(split, "train", "choosing", SETTINGS, complaints)
    assert [(detail.row, detail.line) for detail in complaints.details] == [(1, 5)]
    with pytest.raises(DatasetInvalid, match=r"in split train, row 1 \(line 5 of the file\): is empty"):
        complaints.raise_if_any()


def test_a_broken_record_is_named_and_the_rest_is_read_on() -> None:
    details = read("t.json", '[{"text": "x", "label": "a"}, {"text": "y"}, ["z", "a"], {"text": "y", "label": "b"}]')[1]
    assert [(detail.split, detail.row, detail.line, detail.field) for detail in details] == [
        ("train", 1, None, "Labels"),
        ("train", 2, None, None),
    ]


def test_only_the_first_hundred_complaints_are_kept() -> None:
    complaints = Complaints()
    read_file("t.jsonl", b"[]\n" * 1000, "train", complaints, SETTINGS)
    assert (complaints.count, len(complaints.details)) == (1000, 100)


def test_a_whole_toy_split_survives() -> None:
    texts, labels = choosing(60, language="other")
    expected = [RawRow(text, label, {}) for text, label in zip(texts, labels, strict=True)]
    assert rows_of("t.json", json.dumps(columns(texts, labels))) == expected


@pytest.mark.parametrize(
    ("filename", "data"),
    [
        ("t.csv", "text,label,a,b\n" + "x,a,1,2\n" * 300),
        ("t.tsv", "text\tlabel\ta\tb\n" + "x\ta\t1\t2\n" * 300),
        ("t.jsonl", '{"text": "x", "label": "a", "a": 1, "b": 2}\n' * 300),
        ("t.jsonl", '{"text": "x", "label": "a", "n": [[0], 0]}\n' * 200),
    ],
)
def test_rows_of_more_values_than_memory_has_room_for_are_refused(
    monkeypatch: pytest.MonkeyPatch, filename: str, data: str
) -> None:
    monkeypatch.setattr(json_text, "MOST_VALUES", 1000)
    detail = complaint_of(filename, data)
    assert "more than 1,000 values are reached; leave out columns or rows" in detail.message
    assert detail.row == (166 if "[0]" in data else 250)
    monkeypatch.setattr(json_text, "MOST_VALUES", 1200)
    assert len(rows_of(filename, data)) == (200 if "[0]" in data else 300)


def test_rows_share_the_names_of_their_columns() -> None:
    one, other = rows_of("t.jsonl", '{"text": "x", "label": "a", "a note": 1}\n' * 2)
    assert next(iter(one.extra)) is next(iter(other.extra))
