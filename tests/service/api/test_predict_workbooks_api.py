"""`/predict` with a workbook in, and lines or a table out."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.predicting import CSV, NDJSON, XLSX, ask, ask_for_table, rows_of
from parts.wire import error_of
from parts.workbooks import row, sheet, with_parts, workbook
from service.api.predict_lines import ROWS
from service.datasets import workbooks

SHEET = workbook(["Nr", "Text ", "share"], [7, "an apple", 0.5], [8, "rain", -1e-5], notes=[["Notes"], ["May"]])


def test_a_workbook_is_answered_as_its_sheet_in_csv_is(serving: TestClient) -> None:
    assert ask(serving, SHEET, XLSX) == ask(serving, "Nr,text\n7,an apple\n8,rain\n", CSV)


def test_it_comes_back_as_a_table_that_excel_reads_as_utf_8(serving: TestClient) -> None:
    table = ask_for_table(serving, SHEET, kind=XLSX)
    header, *rows = rows_of(table.removeprefix("\ufeff"))
    assert table.startswith("\ufeffNr,")
    assert header == ["Nr", "Text", "share", "label", "score", "truncated", "error"]
    assert [cells[:3] for cells in rows] == [["7", "an apple", "0.5"], ["8", "rain", "-1e-05"]]
    assert all(cells[3] and float(cells[4]) and not cells[6] for cells in rows)
    as_tabs = ask_for_table(serving, SHEET, "text/tab-separated-values", XLSX)
    assert as_tabs == table.replace(",", "\t")


def test_where_a_comma_begins_decimals_semicolons_are_asked_for(serving: TestClient) -> None:
    """A workbook does not say how the Excel that opens the answer writes numbers."""
    data = workbook(["text", "n", "date"], ["1.5 apples", 1.5, "1.5.26"])
    usual = rows_of(ask_for_table(serving, data, kind=XLSX, delimiter=","))
    asked = rows_of(ask_for_table(serving, data, kind=XLSX, delimiter=";"), ";")
    assert asked[0] == usual[0]
    assert asked[1][:3] == ["1.5 apples", "1,5", "1.5.26"]
    assert asked[1][4] == usual[1][4].replace(".", ",")


@pytest.mark.parametrize(
    ("body", "kind", "accept"),
    [(SHEET, XLSX, "*/*"), (SHEET, XLSX, "text/tab-separated-values"), ("text\nx\n", CSV, "text/csv")],
)
def test_a_delimiter_that_would_change_nothing_is_refused(
    serving: TestClient, body: Any, kind: dict[str, str], accept: str
) -> None:
    response = serving.post("/predict?model=fruit&delimiter=;", content=body, headers=kind | {"Accept": accept})
    error = error_of(response, 422, "request_invalid")
    assert error["details"][0]["field"] == "delimiter"
    assert error["message"].endswith("leave it out")


def test_every_row_keeps_its_place(serving: TestClient) -> None:
    """More rows than are in work at once; an empty row, which the sheet does not hold, is one of them."""
    texts = [None if number % 7 == 3 else f"apple {number}" for number in range(ROWS + 20)]
    data = workbook([None], ["text"], *([text] for text in texts))
    lines = ask(serving, data, XLSX)
    assert ["error" in line for line in lines] == [text is None for text in texts]
    _, *rows = rows_of(ask_for_table(serving, data, kind=XLSX))
    assert [cells[0] for cells in rows] == [text or "" for text in texts]


def test_a_faulty_cell_costs_its_own_row_alone(serving: TestClient) -> None:
    data = workbook(
        ["text", "note"], ["#N/A", "n"], ["apple", "#N/A"], ["apple", "n", "aside"], ["long " * 500], ["rain"]
    )
    wrong, beside, nameless, long, sound = ask(serving, data, XLSX)
    assert "holds the error #N/A; correct the formula" in wrong["error"]["message"]
    assert "name the column in the header" in nameless["error"]["message"]
    assert "is longer than 2000 bytes" in long["error"]["message"]
    assert beside["label"]
    assert sound["label"]


def test_what_a_workbook_shows_as_a_text_does_not_come_back_as_a_formula(serving: TestClient) -> None:
    """A text is no formula in a workbook; as CSV it would be one."""
    texts = ['=HYPERLINK("http://evil.example")', "- too dear", "@home"]
    cells = "".join(row(text.replace('"', "&quot;"), "-1.5") for text in texts)
    _, *rows = rows_of(ask_for_table(serving, with_parts(sheet1=sheet(cells)), kind=XLSX))
    assert [own[:2] for own in rows] == [[f"'{text}", "-1.5"] for text in texts]


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (b"text\napple\n", 415, "the body is no workbook (.xlsx) that can be read here; open it in Excel"),
        (workbook(), 400, "the first row must be a header with exactly one column `text`"),
        (workbook(["answer"], ["x"]), 400, "the first row must be a header with exactly one column `text`"),
        (workbook(["text"]), 400, "there is no text in the body"),
        (workbook(["text"], ["x"], more=[["text"], ["y"]]), 422, "'Sheet', 'more'; send each as a file of its own"),
        (with_parts(sheet1=sheet(row("x" * 60_000_000))), 422, "save the sheet as CSV UTF-8 and send that"),
    ],
)
def test_a_workbook_that_holds_no_texts_is_told_what_to_do(
    serving: TestClient, data: bytes, status: int, told: str
) -> None:
    code = {400: "body_unreadable", 415: "media_type_unsupported", 422: "request_invalid"}[status]
    response = serving.post("/predict?model=fruit", content=data, headers=XLSX)
    assert told in error_of(response, status, code)["message"]


def test_one_workbook_is_read_at_a_time(serving: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "PATIENCE", 0.1)
    with workbooks._one_at_a_time:
        response = serving.post("/predict?model=fruit", content=SHEET, headers=XLSX)
    assert "or send CSV UTF-8" in error_of(response, 429, "overloaded")["message"]


def test_a_body_of_another_type_is_told_of_workbooks(serving: TestClient) -> None:
    """`curl -T` says nothing of a file's type."""
    for headers in ({}, {"Content-Type": "application/vnd.ms-excel"}):
        response = serving.post("/predict?model=fruit", content=SHEET, headers=headers)
        message = error_of(response, 415, "media_type_unsupported")["message"]
        assert "a workbook (.xlsx) of texts, with a header Content-Type of" in message
        assert XLSX["Content-Type"] in message
        assert NDJSON["Content-Type"] in message
