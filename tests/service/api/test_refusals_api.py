"""What is said of a request that is refused for one of its values: where it is, and what to send instead."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.wire import MARK, error_of, fruit

NAMES = "must consist of letters, digits, spaces and `_ . -`, and begin with a letter or a digit"
CURSORS = "must be the id of the last item of the page before, as the list gave it: it begins with `ds_`"
GROUPS = "must be another column than those of texts, labels and splits, such as `respondent`"
LANGUAGES = (
    "must be the name of a language or its code, such as `german`, `de` or `es-419`: a letter, then letters, digits, "
    "spaces, apostrophes, parentheses, `_` and `-`"
)
IDS = "must be an id as the service gave it: small letters, digits and `_`"


@pytest.mark.parametrize(
    ("route", "fields", "field", "message"),
    [
        ("/datasets", {"name": "My data (v1)"}, "name", NAMES),
        ("/datasets", {"name": 7}, "name", "must be a string"),
        ("/datasets", {"name": "x" * 101}, "name", "is too long; the most is 100 characters"),
        ("/datasets", {"language": "<b>"}, "language", LANGUAGES),
        ("/datasets", {"task": "guessing"}, "task", "must be 'choosing' or 'deciding'"),
        ("/datasets", {"unlabelled": True}, "unlabelled", "must be 'skip'"),
        ("/datasets", {"train": []}, "train", "must be an object"),
        ("/datasets", {"split": {"val": 0}}, "split.val", "must be more than 0"),
        ("/datasets", {"split": {"val": "0.2"}}, "split.val", "must be a number without quotation marks"),
        ("/datasets", {"split": {"seed": 2**32}}, "split.seed", "must be less than 4294967296"),
        ("/datasets", {"split": {"group": "Text"}}, "split.group", GROUPS),
        ("/datasets", {"split": {"group": "label"}}, "split.group", GROUPS),
        ("/datasets", {"split": {"group": "labels"}}, "split.group", GROUPS),
        ("/datasets", {"split": {"group": "Split"}}, "split.group", GROUPS),
        ("/jobs", {"dataset_id": "../x"}, "dataset_id", IDS),
        ("/jobs", {"base_model": ""}, "base_model", "is empty; send at least 1 character"),
        ("/jobs", {"hyperparameters": []}, "hyperparameters", "must be an object"),
        ("/jobs", {"metadata": {"": "x"}}, "metadata", "holds a key that is empty; send at least 1 character"),
        ("/jobs", {"metadata": {"k": "x" * 513}}, "metadata.k", "is too long; the most is 512 characters"),
        (
            "/jobs",
            {"metadata": dict.fromkeys(map(str, range(17)), "x")},
            "metadata",
            "is too long; the most is 16 values",
        ),
        ("/predict", {"texts": []}, "texts", "is empty; send at least 1 value"),
        ("/predict", {"texts": "x"}, "texts", "must be a list"),
        ("/predict", {"model": "x" * 111}, "model", "is too long; the most is 110 characters"),
        ("/predict", {"top_k": 0}, "top_k", "must be at least 1"),
        ("/predict", {"threshold": 2}, "threshold", "must be at most 1"),
    ],
)
def test_a_wrong_value_is_told_what_to_send_instead(
    shared: TestClient, route: str, fields: dict[str, Any], field: str, message: str
) -> None:
    good: dict[str, Any] = {"/datasets": fruit(), "/jobs": {"dataset_id": "ds_x"}, "/predict": {"texts": ["x"]}}[route]
    error = error_of(shared.post(route, json=good | fields), 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [field]
    assert error["details"][0]["message"].startswith(message)
    assert error["message"].startswith(f"the request was refused: {field}: {message}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("after=../", CURSORS),
        ("after=banana", CURSORS),
        ("after=job_0123456789", CURSORS),
        ("after=" + "a" * 61, "is too long; the most is 60 characters"),
        ("limit=x", "must be a whole number"),
        ("limit=0", "must be at least 1"),
        ("limit=101", "must be at most 100"),
    ],
)
def test_a_wrong_part_of_a_query_is_told_what_to_send_instead(shared: TestClient, query: str, message: str) -> None:
    error = error_of(shared.get(f"/datasets?{query}"), 422, "request_invalid")
    assert error["details"] == [{"field": query.split("=")[0], "message": message}]


@pytest.mark.parametrize(("path", "kind"), [("jobs", "job_"), ("models", "mdl_"), ("datasets", "ds_")])
def test_a_cursor_is_an_id_of_what_is_listed(shared: TestClient, path: str, kind: str) -> None:
    """One of another kind was older than all, and the page empty."""
    for wrong in {"job_0", "mdl_0", "ds_0", "banana"} - {f"{kind}0"}:
        error = error_of(shared.get(f"/{path}?after={wrong}"), 422, "request_invalid")
        assert f"begins with `{kind}`" in error["message"]
    assert shared.get(f"/{path}?after={kind}0").json() == {"data": [], "has_more": False}


def test_wrong_headers_are_told_what_to_send_instead(shared: TestClient, dataset_id: str) -> None:
    for key, message in (
        ("a b", "must consist of ASCII letters, digits and signs, without spaces"),
        ("", "is empty; "),
    ):
        response = shared.post("/jobs", json={"dataset_id": dataset_id}, headers={"Idempotency-Key": key})
        (detail,) = error_of(response, 422, "request_invalid")["details"]
        assert detail["field"] == "Idempotency-Key"
        assert detail["message"].startswith(message)
    response = shared.get("/jobs/job_x/events", headers={"Last-Event-ID": MARK})
    (detail,) = error_of(response, 422, "request_invalid")["details"]
    assert detail == {"field": "Last-Event-ID", "message": "must be an event's id as the service gave it: digits"}


@pytest.mark.parametrize("body", [[1], "x", None])
@pytest.mark.parametrize("route", ["/datasets", "/jobs", "/predict"])
def test_a_body_that_is_no_object_is_told_so(shared: TestClient, route: str, body: object) -> None:
    response = shared.post(route, content=json.dumps(body), headers={"Content-Type": "application/json"})
    error = error_of(response, 422, "request_invalid")
    assert error["details"] == [{"message": "the body must be an object"}]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"num_epochs": "3"}, "must be a whole number without quotation marks, or 'auto'"),
        ({"num_epochs": 0}, "must be at least 1, or 'auto'"),
        ({"learning_rate": "much"}, "must be a number without quotation marks, or 'auto'"),
        ({"optimizer": "lion"}, "must be 'sam', 'asam' or 'adamw', or 'auto'"),
    ],
)
def test_a_value_that_may_be_auto_is_one_fault(shared: TestClient, asked: dict[str, Any], message: str) -> None:
    response = shared.post("/jobs", json={"dataset_id": "ds_x", "hyperparameters": asked})
    error = error_of(response, 422, "request_invalid")
    (name,) = asked
    assert error["details"] == [{"field": f"hyperparameters.{name}", "message": message}]
    assert error["message"] == f"the request was refused: hyperparameters.{name}: {message}"


def test_faults_of_several_values_are_counted_by_value(shared: TestClient) -> None:
    asked = {"num_epochs": "3", "rho": "x", "no_such": 1}
    response = shared.post("/jobs", json={"dataset_id": "ds_x", "hyperparameters": asked})
    error = error_of(response, 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [f"hyperparameters.{name}" for name in asked]
    assert error["message"].endswith("(and 2 more)")


@pytest.mark.parametrize(("text", "message"), [(None, "must be a string"), ("x\0", "contains a NUL character")])
def test_a_text_that_is_none_is_named_by_its_row(shared: TestClient, text: object, message: str) -> None:
    error = error_of(shared.post("/predict", json={"texts": ["x", text]}), 422, "request_invalid")
    assert error["details"] == [{"row": 1, "field": "texts", "message": message}]
    assert error["message"] == f"the request was refused: texts, row 1: {message}"


def test_half_a_surrogate_pair_is_named_for_what_it_is(shared: TestClient) -> None:
    for body, field in (({"\ud800": 1}, "the body contains"), ({"name": "\ud800"}, "name: contains")):
        response = shared.post(
            "/datasets", content=json.dumps(fruit(**body)), headers={"Content-Type": "application/json"}
        )
        assert f"refused: {field} half a surrogate pair" in error_of(response, 422, "request_invalid")["message"]
