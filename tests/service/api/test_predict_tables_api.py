"""`/predict` with a table in and that table out; and tables that are refused."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import LABELS
from parts.predicting import CSV, NDJSON, TSV, ask, ask_for_table, rows_of
from parts.toy_text import choosing
from parts.wire import error_of
from service.api.predict_lines import ROWS
from service.api.predict_table import Table
from service.api.text_rows import Row, Rows
from service.inference.predictions import Prediction

TEXTS = choosing(30, language="other")[0]


def test_a_table_comes_back_with_what_is_predicted_in_its_last_columns(serving: TestClient) -> None:
    """More rows than are in work at once; the header is written once."""
    numbers = range(ROWS + 88)
    body = "Nr,Text,=mine\r\n" + "".join(
        f'{number},"{TEXTS[number % 30]}, ""{number}""",=1+1\r\n' for number in numbers
    )
    header, *rows = rows_of(ask_for_table(serving, body))
    assert header == ["Nr", "Text", "=mine", "label", "score", "truncated", "error"]
    lines = ask(serving, body, CSV)
    assert len(rows) == len(lines) == len(numbers)
    for number, row, line in zip(numbers, rows, lines, strict=True):
        assert row[:3] == [str(number), f'{TEXTS[number % 30]}, "{number}"', "=1+1"]
        assert row[3:4] + row[5:] == [line["label"], "false", ""]
        assert float(row[4]) == pytest.approx(line["scores"][line["label"]], abs=0.01)


def test_several_labels_of_a_row_are_joined_as_data_sets_have_them(serving: TestClient) -> None:
    header, every = rows_of(ask_for_table(serving, "text\napple\n", model="moods", threshold=0))
    _, none = rows_of(ask_for_table(serving, "text\napple\n", model="moods", threshold=1))
    assert header == ["text", "labels", "scores", "truncated", "error"]
    (line,) = ask(serving, "text\napple\n", CSV, model="moods", threshold=0)
    assert every[1] == "|".join(LABELS)
    assert [float(score) for score in every[2].split("|")] == pytest.approx(
        [line["scores"][x] for x in LABELS], abs=0.01
    )
    assert none == ["apple", "", "", "false", ""]


def test_a_row_that_is_refused_keeps_its_place_and_its_cells(serving: TestClient) -> None:
    table = rows_of(ask_for_table(serving, "id,text\n1,apple\n2,\n3,a, b\n4\n5,rain\n"))
    assert [row[:2] for row in table[1:]] == [*(["1", "apple"], ["2", ""], ["3", "a"], ["4", ""], ["5", "rain"])]
    told = ["", "is empty", "has 3 cells", "has 1 cells", ""]
    for row, begin in zip(table[1:], told, strict=True):
        assert row[-1].startswith(begin)
        assert bool(row[-1]) is bool(begin) is not bool(row[2])


def test_labels_that_a_table_has_stay_beside_the_predicted_ones(serving: TestClient) -> None:
    header, row = rows_of(ask_for_table(serving, "Label,text,predicted_label,error\nzebra,apple,x,y\n"))
    named = ["predicted_predicted_label", "score", "truncated", "predicted_error"]
    assert header == ["Label", "text", "predicted_label", "error", *named]
    assert row[:4] == ["zebra", "apple", "x", "y"]


def test_a_spreadsheet_gets_back_what_it_sent(serving: TestClient) -> None:
    sent = "\ufeffid;text\r\n1;größe\r\n".encode()
    table = ask_for_table(serving, sent)
    assert table.startswith("\ufeffid;text;label;score;truncated;error\r\n1;größe;")
    as_tabs = ask_for_table(serving, sent, "text/tab-separated-values")
    assert as_tabs.startswith("\ufeffid\ttext\tlabel\t")
    assert ask_for_table(serving, as_tabs.encode(), kind=TSV).startswith("\ufeffid,text,label,")


def test_each_label_may_have_a_column_for_its_score(serving: TestClient) -> None:
    """So that rows can be sorted by it, those without any label too; a row that is refused has empty cells there."""
    for model in ("fruit", "moods"):
        query: dict[str, Any] = {"model": model} | ({"threshold": 1} if model == "moods" else {})
        body = "Animal,text\nx,apple\ny,\n"
        header, row, refused = rows_of(ask_for_table(serving, body, scores="all", **query))
        usual, first, _ = rows_of(ask_for_table(serving, body, **query))
        assert header == [*usual, "predicted_animal", "fruit", "weather"]
        assert row[: len(first)] == first
        assert refused[-4:] == ["is empty", "", "", ""]
        line, _ = ask(serving, body, CSV, **query)
        assert list(map(float, row[-3:])) == pytest.approx([line["scores"][label] for label in LABELS], abs=0.01)


def test_a_label_as_the_name_of_a_column_is_no_formula_and_no_name_that_is_taken() -> None:
    labels = ["=1+1", "A", "Score", "a", "text"]
    prediction = Prediction("a", ["a"], dict.fromkeys(labels, 0.25), 1, False)
    written = Table(Rows(iter(()), ["text"], ";"), "text/csv", "choosing", labels).write(
        0, [(Row("x", ["x"]), prediction)]
    )
    header, row = rows_of(written.decode(), ";")
    assert header[5:] == ["'=1+1", "A", "predicted_Score", "predicted_a", "predicted_text"]
    assert row[5:] == ["0,25"] * 5


def test_lines_of_json_have_all_scores_anyway(serving: TestClient) -> None:
    assert ask(serving, '"apple"', scores="all") == ask(serving, '"apple"')
    for headers in (NDJSON, CSV | {"Accept": "text/csv"}):
        response = serving.post("/predict?model=fruit&scores=all&top_k=1", content='"text"', headers=headers)
        error = error_of(response, 422, "request_invalid")
        assert "leave one of the two out" in error["details"][0]["message"]


def test_between_semicolons_scores_have_a_decimal_comma(serving: TestClient) -> None:
    """As the programs read them that write tables so: Excel where a comma begins decimals, and R's `read.csv2`."""
    for model, query in (("fruit", {}), ("moods", {"threshold": 0})):
        asked: dict[str, Any] = {"model": model, **query}
        commas, points = (
            rows_of(ask_for_table(serving, "id;text\n1.5;apple\n", accept, **asked), delimiter)
            for accept, delimiter in (("text/csv", ";"), ("text/tab-separated-values", "\t"))
        )
        assert commas[1][:3] == points[1][:3]
        assert points[1][3].count(".") == points[1][3].count("|") + 1
        assert commas[1][3] == points[1][3].replace(".", ",")


@pytest.mark.parametrize(("label", "cell"), [
    ("=1+1", "'=1+1"), ("@x", "'@x"), ("+x", "'+x"), ("-x", "'-x"), ("-1+1", "'-1+1"), ("\tx", "'\tx"),
    ("＝1", "'＝1"), ("＠x", "'＠x"), ("-1", "-1"), ("+0.5", "+0.5"), ("a=b", "a=b"),
])  # fmt: skip
def test_no_label_becomes_a_formula(label: str, cell: str) -> None:
    prediction = Prediction(label, [label], {label: 0.5}, 1, False)
    table = Table(Rows(iter(()), ["text"], ","), "text/csv", "choosing").write(1, [(Row("x", ["=x"]), prediction)])
    assert rows_of(table.decode()) == [["=x", cell, "0.5", "false", ""]]


def test_a_table_is_only_given_for_a_table_and_by_wish(serving: TestClient) -> None:
    for accept in ("*/*", "application/x-ndjson, text/csv;q=0.5", "text/html"):
        ask(serving, "text\napple\n", CSV | {"Accept": accept})
    ask(serving, '"apple"', NDJSON | {"Accept": "text/csv"})
    wished = CSV | {"Accept": "text/csv"}
    error = error_of(
        serving.post("/predict?model=fruit&top_k=2", content="text\nx\n", headers=wished), 422, "request_invalid"
    )
    assert error["details"][0]["field"] == "top_k"


# -- tables that cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("Rühe\n".encode("latin-1"), 'save the file as UTF-8 (in Excel as "CSV UTF-8")'),
        (b'"open, and\nthe rest\n', "is a quotation mark left open?"),
        (b'"to be" or not\n', "is a quotation mark left open?"),
        (b'"' + b"never closed\n" * 2000, "the row is too long"),
        (b"x" * 20_000, "the row is too long"),
        (b"one\rtwo\r", "save the file with line ends of Windows"),
    ],
)
def test_a_table_that_cannot_be_read_to_its_end_is_refused_before_any_answer(
    serving: TestClient, bad: bytes, told: str
) -> None:
    """Behind more rows than are in work at once, and than are kept in memory; it says where, and what to do."""
    body = b'text\n"an\napple"\n' + b"an apple\n" * 200_000 + bad + (b"\nan apple" if b'"' not in bad else b"")
    for accept in ("*/*", "text/csv"):
        response = serving.post("/predict?model=fruit", content=body, headers=CSV | {"Accept": accept})
        error = error_of(response, 422, "request_invalid")
        assert "line 200004: " in error["message"]
        assert told in error["message"]
        assert error["details"] == [{"line": 200_004, "message": error["message"].partition(": ")[2]}]


def test_a_header_that_cannot_be_read_is_refused(serving: TestClient) -> None:
    for body in ("text\nRühe\n".encode("utf-16"), b'id,"text\n1,apple\n'):
        error = error_of(serving.post("/predict?model=fruit", content=body, headers=CSV), 422, "request_invalid")
        assert error["details"][0]["line"] == 1
