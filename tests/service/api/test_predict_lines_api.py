"""`/predict` with NDJSON, CSV or TSV in and NDJSON out."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import LABELS, publish
from parts.predicting import CSV, NDJSON, TSV, ask
from parts.toy_text import choosing
from parts.wire import error_of
from service.api import predict_lines
from service.api.context import Context
from service.api.predict_lines import ROWS
from service.api.predict_options import OPTIONS

TEXTS = choosing(30, language="other")[0]


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


@pytest.mark.parametrize("accept", ["*/*", "text/csv"])
def test_no_proxy_is_to_hold_an_answer_back(serving: TestClient, accept: str) -> None:
    """nginx would, until its buffers are full."""
    headers = CSV | {"Accept": accept}
    response = serving.post("/predict?model=fruit", content="text\napple\n", headers=headers)
    assert (response.status_code, response.headers["x-accel-buffering"]) == (200, "no")
    assert response.headers["vary"] == "Accept, Authorization, X-API-Key"


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
