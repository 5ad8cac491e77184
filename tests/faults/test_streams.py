"""Predictions of any number of texts: memory stays as it is, and who reads slowly slows down only itself."""

import json
import time
from collections.abc import Iterator

from faults.conftest import Deploy
from parts.deployment import Deployment, Part
from parts.finished_models import publish, withdraw_all
from parts.memory import forget_peak, peak_bytes, unlinked_files

ROWS = 100_000
NDJSON = {"Content-Type": "application/x-ndjson"}
BODY = b"".join(b'{"text": "an apple and %d pears"}\n' % row for row in range(ROWS))


def serve(deployment: Deployment) -> Part:
    service = deployment.start_api()
    deployment.wait_for_api()
    publish(deployment.database, deployment.artifacts)
    assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
    return service


def rows_of(lines: Iterator[str]) -> Iterator[int]:
    for line in lines:
        answer = json.loads(line)
        assert "error" not in answer
        yield answer["row"]


def test_a_hundred_thousand_lines_are_answered_in_constant_memory(deploy: Deploy) -> None:
    deployment = deploy()
    service = serve(deployment)
    stream_all(deployment)  # libraries take some 80 MiB for good, the first time
    before = forget_peak(service.pid)
    began = time.monotonic()
    stream_all(deployment)
    grown = peak_bytes(service.pid) - before
    print(
        f"{ROWS} lines, {len(BODY) >> 20} MiB: {time.monotonic() - began:.0f} s, memory +{grown >> 20} MiB at its peak"
    )
    assert grown < 30 << 20  # all texts and answers at once would be some 200
    assert unlinked_files(service.pid) == []
    withdraw_all(deployment.database)


def stream_all(deployment: Deployment) -> None:
    with deployment.client.stream("POST", "/predict", content=BODY, headers=NDJSON) as answer:
        assert list(rows_of(answer.iter_lines())) == list(range(ROWS))


def test_answers_that_nobody_reads_are_not_computed_and_hold_nobody_up(deploy: Deploy) -> None:
    """Back pressure: the kernel's buffers fill, and then no further piece is begun."""
    deployment = deploy()
    serve(deployment)
    counted = texts_answered(deployment)
    with deployment.client.stream("POST", "/predict", content=BODY, headers=NDJSON) as answer:
        rows = rows_of(answer.iter_lines())
        assert next(rows) == 0
        done = stands_still_at(deployment) - counted
        assert done < ROWS  # the buffers of both sides take some MiB of the 15
        assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
        assert list(rows) == list(range(1, ROWS))  # it goes on where it stood
    withdraw_all(deployment.database)


def stands_still_at(deployment: Deployment) -> float:
    """How many texts were answered when none was for two seconds."""
    before, now = -1.0, texts_answered(deployment)
    while now != before:
        time.sleep(2)
        before, now = now, texts_answered(deployment)
    return now


def texts_answered(deployment: Deployment) -> float:
    lines = deployment.client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("classiglot_predicted_texts_total"))
