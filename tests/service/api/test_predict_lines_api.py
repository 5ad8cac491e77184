"""`/predict` with NDJSON, CSV or TSV in and NDJSON out."""

import asyncio
import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import LABELS, publish
from parts.toy_text import choosing
from parts.wire import error_of
from service.api import predict_lines
from service.api.context import Context
from service.api.predict_lines import ROWS
from service.api.predict_options import OPTIONS
from service.api.predict_table import Table
from service.api.text_rows import Row, Rows
from service.inference.predictions import Prediction

NDJSON, CSV = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv; charset=utf-8"}
TSV = {"Content-Type": "text/tab-separated-values"}
TEXTS = choosing(30, language="other")[0]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient]) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("serving")
    with open_client(folder, max_texts=40, max_text_bytes=2000, max_request_bytes=10_000) as client:
        context: Context = client.app.state.context  # type: ignore[attr-defined]
        publish(context.database, context.artifacts, name="fruit")
        publish(context.database, context.artifacts, name="moods", task="deciding")
        yield client


def ask(client: TestClient, body: str | bytes, headers: dict[str, str] = NDJSON, **query: Any) -> list[dict[str, Any]]:
    response = client.post("/predict", params={"model": "fruit"} | query, content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["row"] for line in lines] == list(range(len(lines)))
    return lines


def test_each_row_gets_the_answer_that_json_gives(serving: TestClient) -> None:
    """More rows than are in work at once, more than one JSON request may have, and a body larger than its limit."""
    texts = [f"{TEXTS[number % len(TEXTS)]} {number}" for number in range(ROWS + 88)]
    lines = ask(serving, "\n".join(json.dumps({"text": text, "id": 7}) for text in texts))
    assert len(lines) == len(texts)
    for start in (0, ROWS - 20):
        body = {"texts": texts[start : start + 40], "model": "fruit"}
        expected = serving.post("/predict", json=body).json()["predictions"]
        for line, prediction in zip(lines[start:], expected, strict=False):
            assert line["scores"] == pytest.approx(prediction.pop("scores"), abs=0.01)
            assert {name: line[name] for name in prediction} == prediction


def test_a_bare_string_and_an_empty_line_and_no_last_newline_will_do(serving: TestClient) -> None:
    lines = ask(serving, '"apple"\n\n{"text": "apple"}')
    assert [line["label"] for line in lines] == [lines[0]["label"]] * 2


def test_csv_keeps_commas_quotes_and_line_ends_in_cells(serving: TestClient) -> None:
    body = '\ufeffid,Text\r\n1,"an apple, ""red""\r\nand ripe"\r\n2,rain\r\n'
    lines = ask(serving, body.encode(), CSV)
    expected = ask(serving, '"an apple, \\"red\\"\\r\\nand ripe"\n"rain"')
    assert lines == expected


def test_what_a_spreadsheet_makes_of_a_table_is_read_as_a_data_sets_is(serving: TestClient) -> None:
    expected = ask(serving, '"apple, red"\n"rain"')
    assert ask(serving, "\ufeffsep=;\r\nid;TEXT;;\r\n1;apple, red;;\r\n2;rain\r\n".encode(), CSV) == expected
    assert ask(serving, "id\tText\n1\tapple, red\n2\train\n", TSV) == expected
    first, second = ask(serving, "id;text\n1;apple;red\n2;rain\n", CSV)
    assert "put a text with semicolons in quotation marks" in first["error"]["message"]
    assert second["label"]


def test_a_key_of_a_line_may_be_written_in_any_case(serving: TestClient) -> None:
    first, second, twice = ask(serving, '{"Text": "apple"}\n{"text": "apple"}\n{"text": "apple", "Text": "rain"}')
    assert first["scores"] == second["scores"]
    assert twice["error"]["code"] == "text_invalid"


def test_another_media_type_is_told_all_that_there_are(serving: TestClient) -> None:
    response = serving.post("/predict?model=fruit", content="apple", headers={"Content-Type": "text/plain"})
    message = error_of(response, 415, "media_type_unsupported")["message"]
    for kind in ("application/json", "application/x-ndjson", "application/jsonl", "text/csv", TSV["Content-Type"]):
        assert kind in message


def test_a_row_with_more_cells_than_the_header_is_not_cut_in_two(serving: TestClient) -> None:
    body = "text\napple\nwhat is my account balance, and when can I change it?\napple,,\n"
    before, cut, after = ask(serving, body, CSV)
    assert cut["error"]["code"] == "text_invalid"
    assert "has 2 cells where the header has 1; put a text with commas in quotation marks" in cut["error"]["message"]
    assert before["label"] == after["label"]


def test_a_row_without_a_cell_for_its_text_is_told(serving: TestClient) -> None:
    first, second = ask(serving, "id,text\n1\n2,apple\n", CSV)
    assert "has 1 cells where the header has 2" in first["error"]["message"]
    assert second["label"]


def test_a_row_with_fewer_cells_than_the_header_is_not_guessed_at(serving: TestClient) -> None:
    (line,) = ask(serving, "text,id,more\nwhat, then\n", CSV)
    assert "has 2 cells where the header has 3" in line["error"]["message"]


def test_lines_of_separators_at_the_end_are_no_rows(serving: TestClient) -> None:
    lines = ask(serving, "text,id\napple,1\n,\napple,2\n,\n,\n", CSV)
    assert ["error" in line for line in lines] == [False, True, False]


def test_an_empty_line_of_a_table_is_a_row_but_at_its_end(serving: TestClient) -> None:
    """What a spreadsheet makes of an empty cell; were it passed over, the rows behind it would have other numbers."""
    lines = ask(serving, 'text\n\napple\n \r\n""\napple\n\n \n\n', CSV)
    assert ["error" in line for line in lines] == [True, False, True, True, False]
    assert {line["error"]["message"] for line in lines if "error" in line} == {"is empty"}


def test_the_query_says_what_the_body_of_json_says(serving: TestClient) -> None:
    (line,) = ask(serving, '"apple"', model="moods", top_k=1, threshold=0.0)
    assert len(line["scores"]) == 1
    assert line["labels"] == sorted(LABELS)
    error_of(serving.post("/predict?threshold=2", content='"a"', headers=NDJSON), 422, "request_invalid")


@pytest.mark.parametrize("query", ["treshold=0.9", "top_k=1&treshold=0.9", "Threshold=0.9", "texts=apple"])
def test_an_option_that_there_is_none_of_is_not_ignored(serving: TestClient, query: str) -> None:
    response = serving.post(f"/predict?model=fruit&{query}", content='"apple"', headers=NDJSON)
    error = error_of(response, 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [query.split("&")[-1].partition("=")[0]]
    assert "the options are model, top_k, threshold, scores" in error["message"]


def test_one_bad_row_costs_its_neighbours_nothing(serving: TestClient) -> None:
    bad = ["{}", "nonsense", '{"text": ""}', '{"text": 3}', '"\\u0000"', '"\\ud800"', json.dumps("long " * 500), "[]"]
    bad.append('"' + "x" * 40_000 + '"')  # longer than any line may be
    lines = ask(serving, "\n".join(line for fault in bad for line in (fault, '"apple"')))
    assert len(lines) == 2 * len(bad)
    for fault, line, neighbour in zip(bad, lines[::2], lines[1::2], strict=True):
        assert line["error"]["code"] == "text_invalid", fault
        assert "nonsense" not in line["error"]["message"]
        assert neighbour["label"] == lines[1]["label"], fault


@pytest.mark.parametrize(
    ("body", "headers"),
    [("", NDJSON), ("\n\n", NDJSON), ("", CSV), ("title\nx\n", CSV), ("text\n", CSV), ("text,text\na,b\n", CSV)],
)
def test_a_body_without_texts_is_refused(serving: TestClient, body: str, headers: dict[str, str]) -> None:
    error_of(serving.post("/predict?model=fruit", content=body, headers=headers), 400, "body_unreadable")


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


# -- tables out -----------------------------------------------------------------------------------------


def ask_for_table(
    client: TestClient, body: str | bytes, accept: str = "text/csv", kind: dict[str, str] = CSV, **query: Any
) -> str:
    headers = kind | {"Accept": accept}
    response = client.post("/predict", params={"model": "fruit"} | query, content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith(accept.split(",")[0])
    assert "Accept" in response.headers["vary"]
    return response.content.decode()


def rows_of(table: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(table, newline=""), delimiter=delimiter, strict=True))


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


def test_the_options_of_lines_are_documented(serving: TestClient) -> None:
    """So that the page of the API can send them."""
    parameters = serving.get("/openapi.json").json()["paths"]["/predict"]["post"]["parameters"]
    assert [(part["name"], part["in"], part.get("required", False)) for part in parameters] == [
        (name, "query", False) for name in OPTIONS
    ]
    for wrong in ({"top_k": 0}, {"threshold": 1.01}, {"model": "x" * 111}, {"scores": "some"}):
        error_of(serving.post("/predict", params=wrong, content='"apple"', headers=NDJSON), 422, "request_invalid")


def test_an_unknown_model_is_said_before_anything_is_read(serving: TestClient) -> None:
    error_of(serving.post("/predict?model=nobody", content='"apple"', headers=NDJSON), 404, "model_not_found")


def test_an_answer_names_its_model(serving: TestClient) -> None:
    response = serving.post("/predict?model=fruit", content='"apple"', headers=NDJSON)
    known = serving.get(f"/models/{response.headers['Model-Id']}").json()
    assert (known["name"], str(known["version"])) == ("fruit", response.headers["Model-Version"])


def test_no_more_than_the_limit_is_taken(make_client: Callable[..., TestClient]) -> None:
    client = make_client(max_upload_bytes=1000)
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    publish(context.database, context.artifacts, name="fruit")
    error_of(client.post("/predict", content='"apple"\n' * 500, headers=NDJSON), 413, "too_large")


def test_where_all_places_are_taken_a_stream_waits(serving: TestClient) -> None:
    context: Context = serving.app.state.context  # type: ignore[attr-defined]
    context.engine.queued_tokens += 10 * context.settings.max_queued_tokens
    serving.portal.start_task_soon(_free_later, context)  # type: ignore[union-attr]
    (line,) = ask(serving, '"apple"')
    assert line["label"]


async def _free_later(context: Context) -> None:
    await asyncio.sleep(0.5)
    context.engine.queued_tokens -= 10 * context.settings.max_queued_tokens


def test_lines_are_not_written_on_the_event_loop(serving: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    for name in ("_read", "_line"):
        real = getattr(predict_lines, name)

        def noted(*arguments: Any, real: Any = real) -> Any:
            threads.add(threading.current_thread().name)
            return real(*arguments)

        monkeypatch.setattr(predict_lines, name, noted)
    ask(serving, '"apple"')
    assert threads
    assert all(name.startswith("AnyIO worker") for name in threads)
