"""What goes over the wire in the tests of the HTTP edge: a small good body, and how an answer is read."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import httpx2

from parts.toy_text import choosing, columns, deciding

Json = dict[str, Any]
Response = httpx.Response | httpx2.Response  # of a real service, or of Starlette's test client
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MARK = "zebra"  # in hostile input: it must not come back


def fruit(rows: int = 12, **fields: Any) -> Json:
    """A good body of `POST /datasets` for choosing, of which val and test are cut; `fields` replace or add."""
    return {"name": "fruit", "train": columns(*choosing(rows)), **fields}


def moods(rows: int = 40, **fields: Any) -> Json:
    """The same for deciding."""
    return {"name": "moods", "train": columns(*deciding(rows)), **fields}


def send_files(client: httpx2.Client, files: Mapping[str, tuple[str, str | bytes]], **fields: str) -> httpx2.Response:
    """An upload of files as a form. `files`: of each split a file's name and content."""
    return client.post("/datasets", files=files, data={"name": "fruit", **fields})


def error_of(response: Response, status: int, code: str) -> Json:
    """The `error` of a refusal, after checking its status, code and form."""
    assert response.status_code == status, response.text[:500]
    check_form(response)
    error: Json = response.json()["error"]
    assert error["code"] == code, error
    return error


def check_form(response: Response) -> None:
    """Every error, whatever raised it, has exactly this form."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "details", "message"]
    assert body["error"]["code"]
    assert body["error"]["message"]
    for detail in body["error"]["details"]:
        assert detail["message"]
        assert detail.keys() <= {"split", "row", "line", "field", "message"}
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1


def far_apart(found: list[dict[str, float]], alone: list[dict[str, float]]) -> float:
    """The largest difference of two scores."""
    return max(abs(one[k] - other[k]) for one, other in zip(found, alone, strict=True) for k in other)


def server_sent(text: str) -> list[Json]:
    """The events of an event stream, each with its `id` and `event` and the object in its `data`."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append({"id": fields["id"], "event": fields["event"], "data": json.loads(fields["data"])})
    return events
