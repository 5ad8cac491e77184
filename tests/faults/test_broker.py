"""A broker that loses, repeats, hangs or speaks nonsense: the jobs table is the truth, so none of it matters."""

import base64
import json
import pickle
import signal
import time
import uuid
from typing import Any

import pytest
import redis

from faults.conftest import Deploy
from faults.invariants import all_jobs
from parts.deployment import Deployment, wait_until
from service.store.records import FINAL

LIST = "classiglot:classiglot.jobs"


def start(deploy: Deploy, workers: int = 2, **settings: object) -> Deployment:
    deployment = deploy(**settings)
    deployment.start_api()
    for _ in range(workers):
        deployment.start_light_worker()
    deployment.wait_for_api()
    return deployment


def wait_for_all(deployment: Deployment, seconds: float) -> float:
    return wait_until(lambda: all(job.status == "succeeded" for job in all_jobs(deployment)), seconds, deployment.tail)


def attempts(deployment: Deployment) -> set[int]:
    return {job.attempt for job in all_jobs(deployment)}


def test_a_broker_that_is_killed_and_comes_back_empty_loses_no_job(deploy: Deploy) -> None:
    """B4: two jobs run meanwhile and twenty wait."""
    deployment = start(deploy, light_epoch_seconds=0.5)
    dataset = deployment.upload()
    running = [deployment.submit(dataset, num_epochs=12) for _ in range(2)]
    for job_id in running:
        deployment.wait_for(job_id, lambda job: job.progress["step"] > 0)
    waiting = [deployment.submit(dataset, num_epochs=1) for _ in range(20)]
    deployment.broker.kill()
    time.sleep(2)
    assert [deployment.job(job_id).attempt for job_id in running] == [1, 1]
    deployment.start_broker()
    seconds = wait_for_all(deployment, 30)
    assert attempts(deployment) == {1}
    assert len(waiting + running) == len(all_jobs(deployment))
    print(f"B4: all had run {seconds:.1f} s after the restart")


def test_a_broker_that_hangs_holds_no_request_up(deploy: Deploy, long: bool) -> None:
    """B5: it is paused for 12 s (120 s at full length)."""
    deployment = start(deploy)
    dataset = deployment.upload()
    deployment.wait_for_status(deployment.submit(dataset), "succeeded")
    deployment.client.post("/predict", json={"texts": ["a dog"]})  # the first loads libraries, broker or not
    deployment.broker.signal(signal.SIGSTOP)
    began, slowest = time.monotonic(), {"jobs": 0.0, "predict": 0.0}
    while time.monotonic() - began < (120 if long else 12):
        asked = time.monotonic()
        deployment.submit(dataset)
        submitted = time.monotonic()
        answer = deployment.client.post("/predict", json={"texts": ["a dog"]})
        assert answer.status_code == 200, answer.text
        slowest["jobs"] = max(slowest["jobs"], submitted - asked)
        slowest["predict"] = max(slowest["predict"], time.monotonic() - submitted)
        time.sleep(1)
    deployment.broker.signal(signal.SIGCONT)
    assert slowest["jobs"] < 6
    assert slowest["predict"] < 1
    drained = wait_for_all(deployment, 60)
    assert attempts(deployment) == {1}
    slow, slow_predict = slowest["jobs"], slowest["predict"]
    print(f"B5: slowest POST /jobs {slow:.2f} s, /predict {slow_predict:.2f} s; all had run {drained:.1f} s after")


@pytest.mark.waits
def test_a_worker_that_stops_does_not_wait_for_a_broker_that_hangs(deploy: Deploy) -> None:
    """B15, with the broker paused: the run is handed back all the same."""
    deployment = deploy(light_epoch_seconds=0.5)
    deployment.start_api()
    worker = deployment.start_light_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    job_id, *_ = [deployment.submit(dataset, num_epochs=60) for _ in range(3)]
    deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 2)
    deployment.broker.signal(signal.SIGSTOP)
    time.sleep(1)  # Celery is back at its wait for the next message
    seconds = worker.stop(30)
    assert deployment.job(job_id).status == "queued"
    deployment.broker.signal(signal.SIGCONT)
    deployment.start_light_worker()
    deployment.wait_for_status(job_id, "succeeded", 90)
    for other in all_jobs(deployment):
        if other.status not in FINAL:
            deployment.client.post(f"/jobs/{other.id}/cancel")
    wait_until(lambda: all(job.status in FINAL for job in all_jobs(deployment)), 30)
    print(f"B15: with the broker paused ended after {seconds:.1f} s")


def test_connections_reset_again_and_again_start_nothing_twice(deploy: Deploy, long: bool) -> None:
    """B8: every connection to the broker is closed each 5 s for 2 minutes (each second for 12 s in the suite)."""
    deployment = start(deploy, light_epoch_seconds=0.2)
    dataset = deployment.upload()
    rounds, pause = (24, 5.0) if long else (12, 1.0)
    with deployment.broker_client() as broker:
        for _ in range(rounds):
            deployment.submit(dataset, num_epochs=10)
            time.sleep(pause)
            broker.client_kill_filter(_type="normal", skipme=True)
            broker.client_kill_filter(_type="pubsub", skipme=True)
    wait_for_all(deployment, 90)
    assert attempts(deployment) == {1}
    print(f"B8: {rounds} resets, {rounds} jobs, one attempt each")


def test_a_message_delivered_fifty_times_starts_one_attempt(deploy: Deploy) -> None:
    """B10: four workers are told fifty times of one job, and one of them runs it."""
    deployment = start(deploy, workers=0)
    job_id = deployment.submit(num_epochs=20)
    with deployment.broker_client() as broker:
        wait_until(lambda: broker.llen(LIST) > 0, 10)
        message = broker.lindex(LIST, 0)
        broker.lpush(LIST, *[message] * 49)
        workers = [deployment.start_light_worker() for _ in range(4)]
        deployment.wait_for_status(job_id, "succeeded")
        wait_until(lambda: broker.llen(LIST) == 0, 20)
    assert deployment.job(job_id).attempt == 1
    assert sum("attempt" in message for message in deployment.messages(job_id)) == 1
    assert all(worker.alive() for worker in workers)


def envelope(body: bytes, kind: str, task: str = "classiglot.train", encoding: str = "utf-8") -> bytes:
    """A message as Celery puts it into the list."""
    number = str(uuid.uuid4())
    properties: dict[str, Any] = {
        "correlation_id": number, "delivery_mode": 2, "delivery_tag": number, "priority": 0, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "classiglot.jobs"},
    }  # fmt: skip
    headers = {"lang": "py", "task": task, "id": number, "root_id": number, "argsrepr": "", "kwargsrepr": ""}
    message = {
        "body": base64.b64encode(body).decode(), "content-encoding": encoding, "content-type": kind,
        "headers": headers, "properties": properties,
    }  # fmt: skip
    return json.dumps(message).encode()


def arguments(*values: object) -> bytes:
    return json.dumps([values, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()


class Canary:
    """Runs code when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def hostile_messages(canary: str) -> dict[str, bytes]:
    bomb = pickle.dumps(((Canary(canary),), {}, {}))
    return {
        "pickle": envelope(bomb, "application/x-python-serialize", encoding="binary"),
        "unknown task": envelope(arguments("job_1"), "application/json", task="os.system"),
        "50 MB": envelope(arguments("x" * 50_000_000), "application/json"),
        "wrong arguments": envelope(arguments(), "application/json"),
        "arguments that are a list": envelope(arguments(["job"] * 3), "application/json"),
        "body that is no JSON": envelope(b"{", "application/json"),
        "no JSON": b"{nonsense",
        "no text": b"\xff\xfe\x00",
        "a number": b"42",
        "an empty object": b"{}",
        "no properties": b'{"body": "", "headers": {}}',
        "body that is no base64": envelope(b"", "application/json").replace(b'"body": ""', b'"body": "!"'),
    }


def test_messages_that_are_none_are_dropped_and_the_worker_lives(deploy: Deploy) -> None:
    """B40"""
    deployment = start(deploy, workers=0)
    worker = deployment.start_light_worker()
    dataset = deployment.upload()
    deployment.wait_for_status(deployment.submit(dataset), "succeeded")
    canary = deployment.root / "canary"
    with deployment.broker_client() as broker:
        for name, message in hostile_messages(str(canary)).items():
            broker.lpush(LIST, message)
            job_id = deployment.submit(dataset, num_epochs=1, name=name)
            deployment.wait_for_status(job_id, "succeeded", 20)
            wait_until(lambda: _empty(broker), 20)
            assert worker.alive(), name
    assert not canary.exists()
    dropped = deployment.log.read_text(errors="replace").count("message_dropped")
    assert dropped >= 5
    print(f"B40: a job ran after each; {dropped} that were no messages at all are in the log")


def _empty(broker: redis.Redis) -> bool:
    return bool(broker.llen(LIST) == 0)
