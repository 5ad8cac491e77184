"""Tables as spreadsheets and people write them, and what is said of one that is none."""

import csv
import io
import re

import pytest

from parts.raw_splits import ROWS, complaint_of, read, rows_of
from service.datasets.rows import RawRow, RawSplit


def test_quoted_cells_may_hold_anything() -> None:
    data = 'Source,TEXT,Labels\n7,"a ""b"", c\nd\r\ne",x|y\n'
    split, details = read("t.csv", data)
    assert not details
    assert split == RawSplit([RawRow('a "b", c\nd\r\ne', "x|y", {"Source": "7"})], cells=True)


def test_a_cell_may_be_long() -> None:
    assert rows_of("t.csv", f"text,label\n{'x' * 300_000},a\n") == [RawRow("x" * 300_000, "a", {})]


@pytest.mark.parametrize(
    ("tail", "row", "line"), [('"left open,a\nmore,b\n', 1, 4), ('"x\n",a\n\n"left" open,b\n', 2, 7)]
)
def test_a_quotation_mark_left_open_is_told_with_the_line_it_is_in(tail: str, row: int, line: int) -> None:
    """Not with that in which its end was looked for in vain."""
    detail = complaint_of("t.csv", f"sep=,\ntext,label\none,a\n{tail}")
    assert (detail.split, detail.row, detail.line) == ("train", row, line)
    assert "is a quotation mark left open?" in detail.message


def test_what_is_not_utf_8_is_told_with_its_line() -> None:
    detail = complaint_of("t.csv", "text,label\n\none,a\ntwö,b\n".encode("latin-1"))
    assert (detail.row, detail.line) == (1, 4)
    assert 'save the file as UTF-8 (in Excel as "CSV UTF-8")' in detail.message


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
