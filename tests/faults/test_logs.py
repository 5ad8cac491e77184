"""What is written down of a deployment that is sent secrets, private texts and terminal codes in every place."""

import json
import re
import socket
from urllib.parse import quote

from sqlalchemy import MetaData, select

from faults.conftest import Deploy
from parts.deployment import Deployment
from parts.finished_models import publish, withdraw_all
from parts.log_lines import lines_of
from parts.toy_text import choosing, columns

ANSI = "\x1b[31mred\x1b[0m"
PLANTED = {
    "text to predict": "zebra-of-predict",
    "streamed text": "zebra-of-lines",
    "text of a data set": "zebra-of-dataset",
    "text of a data set that is refused": "zebra-of-refused",
    "query": "zebra-of-query",
    "path": "zebra-of-path",
    "header": "zebra-of-header",
    "wrong key": "cgk_" + "0" * 26 + ".zebra-of-wrong-key-0123456789abcdefghijklmno",
    "parameters of a statement that failed": "zebra-of-metadata",
}


def send_everywhere(deployment: Deployment, key: dict[str, str]) -> None:
    """Each planted word in its place; what the service makes of it is for other tests."""
    client, planted = deployment.client, PLANTED
    client.headers.update(key)
    predicted = client.post("/predict", json={"texts": [planted["text to predict"]]})
    assert predicted.status_code == 200, predicted.text
    client.post("/predict", json={"texts": [planted["text to predict"], 7]})
    lines = json.dumps({"text": planted["streamed text"]}) + "\n{" + planted["streamed text"] + "\n"
    assert client.post("/predict", content=lines, headers={"Content-Type": "application/x-ndjson"}).status_code == 200
    client.get("/jobs", params={"after": planted["query"], "api_key": planted["query"]})
    client.get(f"/jobs/{planted['path']}/{quote(ANSI)}")
    client.get("/jobs", headers={"X-Request-Id": f"{planted['header']} x", "User-Agent": planted["header"]})
    for wrong in ({"Authorization": f"Bearer {planted['wrong key']}"}, {"X-API-Key": planted["wrong key"]}):
        assert client.get("/jobs", headers=wrong | {"Host": "localhost"}).status_code in (200, 401)
    refused = {"name": "x", "train": {"Text": [planted["text of a data set that is refused"]] * 9, "Labels": ["a"] * 8}}
    assert client.post("/datasets", json=refused).status_code == 422
    send_raw(deployment, f"GET / HTTP/1.1\r\nHost: x\r\nX-Evil: {planted['header']}\x1b[31m\r\n\r\n")
    send_raw(deployment, f"GET /{planted['path']} {planted['path']} HTTP/1.1\r\n\r\n")


def send_raw(deployment: Deployment, request: str) -> None:
    with socket.create_connection(("127.0.0.1", deployment.api_port), timeout=10) as connection:
        connection.sendall(request.encode())
        connection.recv(65536)


def crash_with_parameters(deployment: Deployment, dataset: str) -> None:
    """A statement with a planted word among its parameters fails as none should."""
    with deployment.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN metadata TO elsewhere")
    planted = PLANTED["parameters of a statement that failed"]
    broken = deployment.client.post("/jobs", json={"dataset_id": dataset, "name": planted, "metadata": {"k": planted}})
    assert (broken.status_code, broken.json()["error"]["code"]) == (500, "internal"), broken.text
    assert broken.headers["x-request-id"] in deployment.log.read_text()
    with deployment.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN elsewhere TO metadata")


def dump(deployment: Deployment) -> str:
    """Every row of every table."""
    tables = MetaData()
    tables.reflect(deployment.database.engine)
    with deployment.database.read() as tx:
        return "\n".join(str(row) for table in tables.sorted_tables for row in tx.execute(select(table)))


def test_no_secret_and_no_text_is_written_down_and_every_event_is_one_line(postgres_url: str, deploy: Deploy) -> None:
    """B43: at level debug, with a real training run, whose data set has a planted text too."""
    deployment = deploy(postgres_url, log_level="debug", sweep_seconds=60, rate_limit_wrong_keys="none")
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    key = deployment.make_key("default", "admin")
    deployment.client.headers.update(key)
    publish(deployment.database, deployment.artifacts, name="made")
    send_everywhere(deployment, key)
    texts, labels = choosing(120)
    texts[::7] = [f"{text} {PLANTED['text of a data set']}" for text in texts[::7]]
    dataset = deployment.upload({"name": "toys", "train": columns(texts, labels)})
    job_id = deployment.submit(dataset, num_epochs=1, name="trained")
    deployment.wait_for_status(job_id, "succeeded", 120)
    worker.stop()  # before the table breaks; and what a worker says as it goes is looked at too
    crash_with_parameters(deployment, dataset)
    metrics, events = deployment.client.get("/metrics"), deployment.client.get(f"/jobs/{job_id}/events").text
    log = deployment.log.read_text()
    written = {"log": log, "metrics": metrics.text, "events": events, "database": dump(deployment)}
    secret = key["Authorization"].partition(".")[2]
    assert len(secret) > 30
    found = {(where, what) for where, text in written.items() for what, word in PLANTED.items() if word in text}
    found |= {(where, "key") for where, text in written.items() if secret in text}
    assert found == set()
    lines = lines_of(log)
    assert all({"event", "level", "timestamp", "process"} <= set(line) for line in lines)
    assert {line["process"] for line in lines} == {"api", "worker"}
    of_requests = [line for line in lines if line["event"] in ("request", "request_crashed")]
    assert all(line["request_id"] for line in of_requests)
    assert [line["event"] for line in lines if line["level"] == "error"] == ["request_crashed"]
    of_job = [line for line in lines if line["event"].startswith("run_")]
    assert {(line["job_id"], line["attempt"]) for line in of_job} == {(job_id, 1)}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", log), "a terminal would obey it"
    print(
        f"B43: {len(lines)} lines, each JSON; {len(PLANTED) + 1} planted words are in none, nor in {', '.join(written)}"
    )
    withdraw_all(deployment.database)
