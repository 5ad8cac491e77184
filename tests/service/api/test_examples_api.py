"""What the page of the API fills in, sent as it is."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import publish
from parts.routes import Route, routes
from parts.wire import error_of, send_files
from service.api.context import Context

TRAIN = ("train.csv", "text,label\n" + "an apple,fruit\nheavy rain,weather\n" * 6)
MULTIPART = "multipart/form-data"


def bodies(client: TestClient) -> list[tuple[Route, str, dict[str, Any]]]:
    """Each route that takes a body, each media type of it, and that one's schema; data sets come first."""
    document = client.get("/openapi.json").json()
    found = []
    for route in sorted(routes(document), key=str):
        for kind, content in route.operation.get("requestBody", {}).get("content", {}).items():
            schema = content["schema"]
            reference = schema.get("$ref", "").rpartition("/")[2]
            found.append((route, kind, document["components"]["schemas"][reference] if reference else schema))
    return found


def test_every_body_has_an_example_that_is_taken_as_it_is(client: TestClient, context: Context) -> None:
    publish(context.database, context.artifacts, name="support")
    dataset_id = ""
    sent = []
    for route, kind, schema in bodies(client):
        if kind == MULTIPART or schema.get("format") == "binary":  # a page sends a file that somebody chooses
            continue
        (example,) = schema["examples"]
        if "dataset_id" in schema.get("properties", {}):
            example |= {"dataset_id": dataset_id}
        body = {"content": example} if isinstance(example, str) else {"json": example}
        response = client.request(route.method, route.path, headers={"Content-Type": kind}, **body)
        assert response.status_code < 300, f"{route} {kind}: {response.text}"
        assert '"error"' not in response.text or route.path == "/jobs"
        if route.path == "/datasets":
            dataset_id = response.json()["id"]
        sent.append(f"{route} {kind}")
    assert {line.split()[1] for line in sent} == {"/datasets", "/jobs", "/predict"}
    assert len(sent) == 6


def test_a_form_is_taken_as_it_is_filled_in(shared: TestClient) -> None:
    (form,) = [schema["properties"] for _, kind, schema in bodies(shared) if kind == MULTIPART]
    fields = {name: field["examples"][0] for name, field in form.items() if "examples" in field}
    assert fields.keys() == {"name", "language", "split"}
    for task in form["task"]["enum"]:
        assert send_files(shared, {"train": TRAIN}, **fields, task=task).status_code == 201


def test_what_is_left_empty_in_a_form_is_not_sent(shared: TestClient) -> None:
    fields = dict.fromkeys(("task", "language", "split", "val", "test"), "")
    expected = send_files(shared, {"train": TRAIN}).json()
    answer = send_files(shared, {"train": TRAIN}, **fields)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["sha256"], answer.json()["language"]) == (expected["sha256"], None)
    assert error_of(send_files(shared, {"train": TRAIN}, name=""), 422, "request_invalid")["details"] == [
        {"field": "name", "message": "is missing"}
    ]


def test_a_file_that_nobody_chose_is_not_sent(shared: TestClient) -> None:
    """A browser sends such a field with an empty name of a file."""
    parts = [("name", "", b"fruit"), ("train", "a.csv", TRAIN[1].encode()), ("val", "", b""), ("test", "", b"")]
    body = b"".join(_part(*part, is_file=part[0] != "name") for part in parts) + b"--x--\r\n"
    response = shared.post("/datasets", content=body, headers={"Content-Type": f"{MULTIPART}; boundary=x"})
    assert response.status_code == 201, response.text


def _part(name: str, filename: str, data: bytes, *, is_file: bool) -> bytes:
    file = f'; filename="{filename}"' if is_file else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"


@pytest.mark.parametrize("split", ["train", "val"])
def test_rows_that_are_a_field_and_no_file_are_told_so(shared: TestClient, split: str) -> None:
    files = {"train": TRAIN} if split != "train" else {"test": TRAIN}
    error = error_of(send_files(shared, files, **{split: "text,label"}), 422, "request_invalid")
    assert error["details"][0]["field"] == split
    assert "is not a file" in error["message"]


def test_an_unknown_field_is_refused_though_it_is_empty(shared: TestClient) -> None:
    error = error_of(send_files(shared, {"train": TRAIN}, colour=""), 422, "request_invalid")
    assert error["details"][0]["field"] == "colour"
