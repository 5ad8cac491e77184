"""Every form in which a split may arrive, and what is said of one that is not in any."""

import csv
import io
import json
import re

import pytest

from parts.toy_text import choosing, columns
from service.datasets import json_text
from service.datasets.checks import to_examples
from service.datasets.complaints import Complaints
from service.datasets.formats import read_file, read_json
from service.datasets.rows import RawRow, RawSplit
from service.errors import DatasetInvalid, Detail, Unreadable, UnsupportedMedia
from service.settings import read_settings

SETTINGS = read_settings()


def read(filename: str, data: bytes | str) -> tuple[RawSplit, list[Detail]]:
    complaints = Complaints()
    split = read_file(filename, data.encode() if isinstance(data, str) else data, "train", complaints, SETTINGS)
    return split, complaints.details


def rows_of(filename: str, data: bytes | str) -> list[RawRow]:
    split, details = read(filename, data)
    assert not details
    return split.rows


def complaint_of(filename: str, data: bytes | str) -> Detail:
    details = read(filename, data)[1]
    assert len(details) == 1, details
    return details[0]


ROWS = [RawRow("one", "a", {}), RawRow("two, or more", "b", {})]
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
    assert "save it as UTF-8" in detail.message


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


# -- tables -------------------------------------------------------------------------------------------


def test_quoted_cells_may_hold_anything() -> None:
    data = 'Source,TEXT,Labels\n7,"a ""b"", c\nd\r\ne",x|y\n'
    split, details = read("t.csv", data)
    assert not details
    assert split == RawSplit([RawRow('a "b", c\nd\r\ne', "x|y", {"Source": "7"})], cells=True)


def test_a_cell_may_be_long() -> None:
    assert rows_of("t.csv", f"text,label\n{'x' * 300_000},a\n") == [RawRow("x" * 300_000, "a", {})]


@pytest.mark.parametrize("tail", ['"left open,a\nmore,b\n', 'x,a\n"left" open,b\n'])
def test_a_quotation_mark_left_open_is_told_with_its_line(tail: str) -> None:
    detail = complaint_of("t.csv", f"text,label\none,a\n{tail}")
    assert detail.split == "train"
    assert detail.row is not None
    assert detail.row >= 1
    assert "is a quotation mark left open?" in detail.message


@pytest.mark.parametrize("data", ["text,label\rone,a\rtwo,b\r", "text,label\none,a\rtwo,b\r"])
def test_line_ends_of_old_macs_are_told_how_to_save_the_file(data: str) -> None:
    message = complaint_of("t.csv", data).message
    assert "a carriage return alone; save the file with line ends of Windows (CR LF) or Unix (LF)" in message
    assert "universal-newline" not in message


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ("", ["Text", "Labels"]),
        ("\n", ["Text", "Labels"]),
        ("good fruit,a\nbad fruit,b\n", ["Text", "Labels"]),
        ("text,tag\nx,a\n", ["Labels"]),
        ("text;tag\nx;a\n", ["Labels"]),
        ("text\ttag\nx\ta\n", ["Labels"]),
        ("tag;label\nx;a\n", ["Text", "Labels"]),
        ("text,label,label\nx,a,b\n", ["Labels"]),
    ],
)
def test_a_table_without_its_header_is_told_what_it_needs(data: str, fields: list[str]) -> None:
    details = read("t.csv", data)[1]
    assert [detail.field for detail in details if detail.field] == fields
    assert all(re.match(r"needs (a|only one) column", detail.message) for detail in details if detail.field)


@pytest.mark.parametrize(
    ("filename", "header", "found"),
    [
        ("t.csv", "Text;Kategorie", "'Text', 'Kategorie'"),
        ("t.csv", "Text\tKategorie", "'Text', 'Kategorie'"),
        ("t.tsv", "Text,Kategorie", "'Text', 'Kategorie'"),
        ("t.csv", 'Text;"size, cm"', "'Text', 'size, cm'"),
        ("t.csv", ",".join(["Text", *"abcdefghijk"]), "'Text', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', …"),
    ],
)
def test_the_columns_that_are_there_are_named_beside_the_one_that_is_missing(
    filename: str, header: str, found: str
) -> None:
    assert complaint_of(filename, f"{header}\nx\n").message == f"needs a column `Labels` (or `label`); found: {found}"


def test_a_first_row_that_is_no_header_is_not_sent_back() -> None:
    messages = [detail.message for detail in read("t.csv", "good fruit,a\nbad fruit,b\n")[1]]
    assert messages == [
        f"needs a column {name}; found: 2 others; is a name misspelt, or the header missing?"
        for name in ("`Text`", "`Labels` (or `label`)")
    ]


def test_ragged_rows_are_named() -> None:
    details = read("t.csv", "text,label\nx,a\n\ny\nz,b,c\n")[1]
    assert [(detail.row, detail.message) for detail in details] == [
        (1, "has 1 cells where the header has 2; write each cell, even an empty one"),
        (
            2,
            "has 3 cells where the header has 2; put a text with commas in quotation marks, and double those inside",
        ),
    ]
    assert "a text with tabs" in complaint_of("t.tsv", "text\tlabel\nx\ta\tb\n").message


@pytest.mark.parametrize(
    "data",
    [
        "text;label\none;a\ntwo, or more;b\n",
        '\ufeff"Text";"Label";\r\n"one";"a";\r\n"two, or more";"b";\r\n',
        "sep=;\ntext;label\none;a\ntwo, or more;b\n",
        "text\tlabel\none\ta\ntwo, or more\tb\n",
        'sep=,\r\ntext,label\none,a\n"two, or more",b\n',
        '\n  \n,,\ntext,label\n  \none,a\n"two, or more",b\n',
        'text,label,,\none,a,,\n"two, or more",b, ,\n',
        'text,label,,\none,a\n"two, or more",b,\n   ',
    ],
)
def test_what_spreadsheets_add_is_passed_over(data: str) -> None:
    assert rows_of("t.csv", data) == ROWS


@pytest.mark.parametrize("blank", [",", ",,,,", " , \u00a0", '"",""', '"\n"," "'])
def test_a_row_of_empty_cells_alone_is_passed_over(blank: str) -> None:
    assert rows_of("t.csv", f'text,label,n\none,a,1\n{blank}\n"two, or more",b,2\n{blank}\n') == [
        RawRow("one", "a", {"n": "1"}),
        RawRow("two, or more", "b", {"n": "2"}),
    ]


def test_a_row_with_anything_in_it_is_kept() -> None:
    rows = [RawRow("x", "", {"n": ""}), RawRow("", "a", {"n": ""}), RawRow("", "", {"n": "1"})]
    assert rows_of("t.csv", "text,label,n\nx,,\n,a,\n,,1\n") == rows


def test_a_cell_beside_the_columns_with_names_is_not_lost() -> None:
    assert "has 3 cells where the header has 2" in complaint_of("t.csv", "text,label,\nx,a,a note\n").message


def test_another_delimiter_is_for_a_header_that_has_its_columns_with_it_alone() -> None:
    assert rows_of("t.csv", "text,label,n;m\nx;y,a,1\n") == [RawRow("x;y", "a", {"n;m": "1"})]
    assert rows_of("t.csv", 'text;label;"size, cm"\nx,y;a;1\n') == [RawRow("x,y", "a", {"size, cm": "1"})]
    assert rows_of("t.tsv", "text,label\nx;y,a\n") == [RawRow("x;y", "a", {})]


def test_a_column_that_is_there_twice_is_named() -> None:
    assert "'note'" in complaint_of("t.csv", "text,label,note,Note\nx,a,1,2\n").message


SWALLOWED = [
    ("t.tsv", 'text\tlabel\nx\tpos\n"to be\tpos\nfine\tneg\nor not"\tneg\ny\tpos\n', "lines 3 to 5", 1),
    ("t.tsv", 'label\ttext\npos\tx\npos\t"to be\r\nneg\tfine"\r\nneg\ty\n', "lines 3 to 4", 1),
    ("t.csv", 'text,label\n"to be,pos\n\nor not",neg\ny,pos\n', "lines 2 to 4", 0),
    ("t.csv", 'sep=;\ntext;label\n"to be;pos\nor not";neg\ny;pos\n', "lines 3 to 4", 0),
    ("t.csv", 'text,n,label\n"to be,1,a|b\nor not",2,a\ny,3,a|b\n', "lines 2 to 3", 0),
]


@pytest.mark.parametrize(("filename", "data", "words", "row"), SWALLOWED)
def test_rows_that_a_stray_quotation_mark_swallows_are_told(filename: str, data: str, words: str, row: int) -> None:
    detail = complaint_of(filename, data)
    assert detail.row == row
    assert f"takes {words}, each of which looks like a row of its own" in detail.message


@pytest.mark.parametrize(
    "text",
    [
        "Hi Bob,\nthanks",
        "Hi Bob,\n\nthanks for it, and so on",
        "yes, no\nno, yes",
        "one\ntwo\nthree",
        "so,\r\nso,\r\nso",
        'he said "no",\nthen "yes", too',
    ],
)
@pytest.mark.parametrize("label_first", [False, True])
def test_texts_of_several_lines_pass(text: str, label_first: bool) -> None:
    order = slice(None, None, -1) if label_first else slice(None)
    out = io.StringIO()
    csv.writer(out).writerows(row[order] for row in (("text", "labels"), (text, "a"), (text, "b"), ("x", "")))
    assert rows_of("t.csv", out.getvalue()) == [RawRow(text, "a", {}), RawRow(text, "b", {}), RawRow("x", "", {})]


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
