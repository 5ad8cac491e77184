"""`/predict` with a text a line, or a table, and how its answers are read."""

import csv
import io
import json
from typing import Any

from fastapi.testclient import TestClient

NDJSON, CSV = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv; charset=utf-8"}
TSV = {"Content-Type": "text/tab-separated-values"}
XLSX = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


def ask(client: TestClient, body: str | bytes, headers: dict[str, str] = NDJSON, **query: Any) -> list[dict[str, Any]]:
    response = client.post("/predict", params={"model": "fruit"} | query, content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["row"] for line in lines] == list(range(len(lines)))
    return lines


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
