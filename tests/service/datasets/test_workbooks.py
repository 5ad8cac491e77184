"""Workbooks as spreadsheets write them, and as nobody should."""

import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial

import openpyxl
import pytest

from parts.raw_splits import read
from parts.workbooks import MAIN, RELATIONS, row, shared_row, sheet, with_parts, workbook
from service import processes
from service.datasets import workbooks
from service.datasets.rows import RawRow, RawSplit
from service.datasets.workbook_rows import Bounds
from service.errors import Detail, Overloaded, Unavailable, UnsupportedMedia
from service.settings import read_settings

SETTINGS = read_settings(max_rows=1000)
MIB = 1024 * 1024


def read_workbook(data: bytes) -> tuple[RawSplit, list[Detail]]:
    return read("Answers.XLSX", data, SETTINGS)


def rows_of(*rows: Sequence[object]) -> list[RawRow]:
    split, complaints = read_workbook(workbook(*rows))
    assert complaints == []
    return split.rows


def complaint_of(data: bytes) -> Detail:
    (detail,) = read_workbook(data)[1]
    return detail


def test_a_sheet_is_read_as_a_table_is() -> None:
    split, complaints = read_workbook(
        workbook(["Text", "LABEL ", "who"], ["good\nday", "a|b", "x"], [" bad", "a", "y"])
    )
    assert complaints == []
    assert split == RawSplit([RawRow("good\nday", "a|b", {"who": "x"}), RawRow(" bad", "a", {"who": "y"})], cells=True)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (1, "1"),
        (2.0, "2"),
        (0.1 + 0.2, "0.3"),
        (True, "TRUE"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04:00"),
        (None, ""),
        ("a_x000D_b", "a\rb"),
        ("007", "007"),
    ],
)
def test_cells_are_what_a_spreadsheet_shows(cell: object, shown: str) -> None:
    assert rows_of(["text", "label", "n"], ["x", "a", cell], ["y", "b", "z"])[0] == RawRow("x", "a", {"n": shown})


def test_coded_answers_are_labels() -> None:
    assert [row.labels for row in rows_of(["text", "label"], ["x", 1], ["y", 12])] == ["1", "12"]


def test_rows_are_named_as_the_sheet_counts_them() -> None:
    detail = complaint_of(workbook(["text", "label"], [None], ["x", "a"], [" "], ["y", "#N/A"]))
    assert (detail.row, detail.line, detail.field) == (1, 5, "label")
    assert "error #N/A; correct the formula" in detail.message


def test_empty_cells_at_the_end_of_a_row_are_cells() -> None:
    """A sheet holds each row as far as its last cell."""
    rows = rows_of(["text", "label", "note", None], ["x", "a"], ["y", "b", "n"])
    assert [row.extra for row in rows] == [{"note": ""}, {"note": "n"}]


@pytest.mark.parametrize("place", [2, 150])
def test_a_cell_beside_the_named_columns_is_not_lost(place: int) -> None:
    detail = complaint_of(workbook(["text", "label"], ["x", "a"], ["y", "b", *[None] * (place - 2), "z"]))
    assert (detail.row, detail.line) == (1, 3)
    assert "in a column without a name" in detail.message


def test_texts_that_cells_share_are_read() -> None:
    data = with_parts(shared=["x", "a", "y"], sheet1=sheet(shared_row(0, 1) + shared_row(2, 1)))
    assert read_workbook(data)[0].rows == [RawRow("x", "a", {}), RawRow("y", "a", {})]


def test_columns_of_0_and_1_are_labels() -> None:
    split, _ = read_workbook(workbook(["text", "sun", "rain"], ["x", 1, 0], ["y", 1, 1]))
    assert split.wide == ("sun", "rain")
    assert [row.labels for row in split.rows] == [["sun"], ["sun", "rain"]]


def test_the_sheet_with_a_column_text_is_read() -> None:
    notes, hidden = [["Notes"], ["coded in May"]], [["text", "label"], ["old", "o"]]
    split, complaints = read_workbook(
        workbook(["codes"], [1], hidden=["old"], notes=notes, data=[["text", "label"], ["x", "a"]], old=hidden)
    )
    assert complaints == []
    assert split.rows == [RawRow("x", "a", {})]


def test_several_such_sheets_are_refused() -> None:
    detail = complaint_of(workbook(["text", "label"], ["x", "a"], val=[["text", "label"], ["y", "b"]]))
    assert "'Sheet', 'val'; send each as a file of its own" in detail.message


@pytest.mark.parametrize("data", [workbook(), workbook(["text", "label"])])
def test_an_empty_sheet_has_no_rows(data: bytes) -> None:
    split, complaints = read_workbook(data)
    assert (split.rows, complaints) == ([], [])


def test_a_sheet_without_the_columns_is_told_which() -> None:
    messages = [detail.message for detail in read_workbook(workbook(["answer", "code"], ["x", "a"]))[1]]
    assert ["`Text`" in messages[0], "`Labels`" in messages[1]] == [True, True]


def test_too_many_columns_are_told() -> None:
    assert "columns; the most is 100" in complaint_of(workbook(["text", "label", *range(99, 300)], ["x", "a"])).message


def test_rows_over_the_limit_are_not_read() -> None:
    rows = rows_of(["text", "label"], *[[f"x{number}", "a"] for number in range(1100)])
    assert len(rows) == SETTINGS.max_rows + 1


# -- what is no workbook, and what is one too many --------------------------------------------------------

ENTITIES = "".join(f'<!ENTITY {own} "{f"&{other};" * 1000}">' for own, other in zip("bcd", "abc", strict=True))
NO_WORKBOOKS: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"text,label\nx,a\n",
    "the beginning of a zip": lambda: b"PK",
    "half a workbook": lambda: workbook(["text", "label"], *[["x", "a"]] * 100)[:3000],
    "a password, or an old .xls": lambda: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000),
    "entities": lambda: with_parts(sheet1=sheet(row("&d;"), f'<!DOCTYPE w [<!ENTITY a "x">{ENTITIES}]>')),
    "a file from elsewhere": lambda: with_parts(
        sheet1=sheet(row("&a;"), '<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]>')
    ),
    "a column beyond all": lambda: with_parts(sheet1=sheet('<row><c r="ZZZZZZZ2"><v>1</v></c></row>')),
    "a text that is not there": lambda: with_parts(sheet1=sheet(shared_row(7))),
    "no XML": lambda: with_parts(sheet1="text,label"),
}
LARGE: dict[str, Callable[[], bytes]] = {
    "a text of 100 MB": lambda: with_parts(sheet1=sheet(row("x" * 100_000_000, "a"))),
    "a text of 100 MB, packed otherwise": lambda: with_parts(
        zipfile.ZIP_LZMA, sheet1=sheet(row("x" * 100_000_000, "a"))
    ),
    "a row of cells without end": lambda: with_parts(sheet1=sheet(f"<row>{'<c/>' * 1_000_000}</row>")),
    "one text in many cells": lambda: with_parts(shared=["x" * MIB], sheet1=sheet(shared_row(0) * 50)),
    "a part that is thousands of sheets": lambda: with_parts(
        sheet1=f"<worksheet {MAIN}><sheetData>{'<row/>' * 100_000}</sheetData></worksheet>",
        workbook=f"<workbook {MAIN} {RELATIONS}><sheets>"
        + "".join(f'<sheet name="s{n}" sheetId="{n + 1}" r:id="rId1"/>' for n in range(3000))
        + "</sheets></workbook>",
    ),
}


@pytest.mark.parametrize("name", NO_WORKBOOKS)
def test_what_is_no_workbook_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(UnsupportedMedia, match=r"for train is no workbook .* or its sheet as CSV UTF-8 \(\.csv\)"):
        read_workbook(NO_WORKBOOKS[name]())


@pytest.mark.parametrize("name", LARGE)
def test_what_takes_too_much_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each a file of less than a megabyte; the process that reads it may not take more than it is given."""
    seconds = 2 if "thousands" in name else 30  # what takes too much memory is to be refused for that
    monkeypatch.setattr(workbooks, "Bounds", partial(Bounds, bytes=200 * MIB, seconds=seconds))
    data, began = LARGE[name](), time.monotonic()
    assert len(data) < MIB
    assert "is too large for a workbook; save the sheet as CSV UTF-8" in complaint_of(data).message
    assert time.monotonic() - began < 60  # not what a process may take by the clock, if its own is not bounded


def test_what_reads_its_xml_expands_no_entities() -> None:
    """The tests above pass without it too, by limits of expat that depend on its version."""
    assert openpyxl.DEFUSEDXML


def test_a_row_number_beyond_all_is_not_counted_up_to() -> None:
    data = with_parts(sheet1=sheet(row("x", "a", attributes=' r="2"') + row("y", "b", attributes=' r="99999999999"')))
    assert read_workbook(data)[0].rows == [RawRow("x", "a", {})]


@pytest.mark.parametrize("size", ["A1", "A1:XFD1048576"])
def test_what_a_sheet_says_of_its_size_is_not_believed(size: str) -> None:
    told = sheet(row("x", "a")).replace("<sheetData>", f'<dimension ref="{size}"/><sheetData>')
    assert read_workbook(with_parts(sheet1=told))[0].rows == [RawRow("x", "a", {})]


def test_one_workbook_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "PATIENCE", 0.1)
    with workbooks._one_at_a_time, pytest.raises(Overloaded, match="try again"):
        read_workbook(workbook(["text", "label"], ["x", "a"]))


def test_a_reader_that_cannot_start_is_not_the_workbooks_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "python", lambda *_: ["false"])
    with pytest.raises(Unavailable, match="send CSV UTF-8"):
        read_workbook(workbook(["text", "label"], ["x", "a"]))
