"""Processes that are killed, paused or asked to stop at a bad moment."""

import itertools
import os
import random
import signal
import threading
import time
from functools import partial

import httpx
import pytest
import redis

from faults.conftest import Deploy
from faults.invariants import all_jobs
from parts.deployment import Deployment, is_alive, runs_of, wait_until
from parts.toy_text import choosing, columns
from service.store.records import JobRecord

QUEUE = "classiglot:classiglot.jobs"
LEASE = 6.0  # seconds in these tests, of 60 by default


def weights(deployment: Deployment, job_id: str) -> bytes:
    model_id = deployment.job(job_id).model_id
    assert model_id is not None
    return (deployment.artifacts.open("models", model_id) / "model.safetensors").read_bytes()


def reached(deployment: Deployment, job_id: str, epoch: int) -> bool:
    return int(deployment.job(job_id).progress["epoch"]) >= epoch


def tried(deployment: Deployment, job_id: str, attempt: int) -> bool:
    return deployment.job(job_id).attempt == attempt


def resumed(deployment: Deployment, job_id: str, times: int) -> bool:
    return len(deployment.resumed_steps(job_id)) == times


def test_a_training_run_killed_at_random_steps_ends_bit_for_bit_as_if_undisturbed(deploy: Deploy, long: bool) -> None:
    """B1"""
    kills = 20 if long else 3
    deployment = deploy(max_attempts=kills + 1)
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    epochs = 40 + 25 * kills  # of some 30 ms each, so that it does not end before the last kill
    undisturbed = deployment.submit(dataset, num_epochs=epochs, name="undisturbed")
    disturbed = deployment.submit(dataset, num_epochs=epochs, name="disturbed")
    killed_at = []
    for kill in range(kills):
        wait_until(partial(reached, deployment, disturbed, 20 * kill + 2), 120, deployment.tail)
        time.sleep(random.uniform(0, 0.3))
        killed_at.append(deployment.job(disturbed).progress["step"])
        began = time.monotonic()
        for pid in runs_of(worker):
            os.kill(pid, signal.SIGKILL)
        wait_until(partial(tried, deployment, disturbed, kill + 2), 15)
        print(f"B1: tried again {time.monotonic() - began:.1f} s after the kill")
        wait_until(partial(resumed, deployment, disturbed, kill + 1), 30, deployment.tail)
    deployment.wait_for_status(disturbed, "succeeded", seconds=120)
    assert deployment.job(disturbed).attempt == kills + 1
    steps_per_epoch = deployment.job(disturbed).progress["total_steps"] // epochs
    for step, first in zip(killed_at, deployment.resumed_steps(disturbed), strict=True):
        assert step - first <= steps_per_epoch
    assert weights(deployment, undisturbed) == weights(deployment, disturbed)


@pytest.mark.parametrize("moment", ["loading", "training"])
def test_a_killed_worker_takes_its_run_along_and_another_worker_goes_on(
    postgres_url: str, deploy: Deploy, moment: str, long: bool
) -> None:
    """B2, on SQLite in the seconds in which the run imports torch, on PostgreSQL in training; at full length with the
    default lease and sweep."""
    lease, sweep = (60.0, 5.0) if long else (LEASE, 1.0)
    url = postgres_url if moment == "training" else None
    deployment = deploy(url, lease_seconds=lease, sweep_seconds=sweep, spare_run=moment == "training")
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    job_id = deployment.submit(num_epochs=60)
    deployment.wait_for_status(job_id, "running")
    wait_until(lambda: runs_of(worker), 30)
    if moment == "training":
        deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 3)
    runs = runs_of(worker)
    before = deployment.job(job_id).progress["step"]
    worker.kill()
    killed = time.monotonic()
    gone = wait_until(lambda: not any(map(is_alive, runs)), 2)
    deployment.start_worker()
    deployment.wait_for(job_id, lambda job: job.attempt == 2, seconds=lease + 10)
    again = time.monotonic() - killed
    deployment.wait_for(job_id, lambda job: job.progress["step"] > before, seconds=30)
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 2
    if moment == "training":
        assert before - deployment.resumed_steps(job_id)[0] <= 5
    print(f"B2 {moment}: run gone after {gone:.1f} s, claimed again after {again:.1f} s of a lease of {lease:g} s")


def test_a_process_that_waits_for_its_job_dies_with_its_worker_and_dead_costs_no_attempt(deploy: Deploy) -> None:
    """B2, where there is no job yet."""
    deployment = deploy()
    deployment.start_api()
    worker = deployment.start_light_worker()
    deployment.wait_for_api()
    wait_until(lambda: runs_of(worker), 15)
    (spare,) = runs_of(worker)
    worker.kill()
    wait_until(lambda: not is_alive(spare), 2)
    worker = deployment.start_light_worker()
    wait_until(lambda: runs_of(worker), 15)
    (spare,) = runs_of(worker)
    os.kill(spare, signal.SIGKILL)
    job_id = deployment.submit()
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 1
    wait_until(lambda: runs_of(worker), 15)
    worker.stop()
    assert not any("light_run" in words for words in deployment.processes())


def test_jobs_acknowledged_by_a_service_that_is_killed_are_there_and_none_is_there_twice(
    deploy: Deploy, long: bool
) -> None:
    """B3: eight clients post with a key each and again until answered, while the service is killed. A worker runs what
    was acknowledged."""
    deployment = deploy()
    api = deployment.start_api()
    deployment.start_light_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    body = {"dataset_id": dataset, "base_model": "roberta-base", "hyperparameters": {"num_epochs": 1}}
    numbers, acknowledged, done = itertools.count(), {}, threading.Event()

    def post_and_post() -> None:
        with httpx.Client(base_url=deployment.client.base_url, timeout=10) as client:
            while not done.is_set():
                key = f"key-{next(numbers)}"
                while key not in acknowledged:  # no answer: the same again
                    try:
                        job = client.post("/jobs", json=body, headers={"Idempotency-Key": key})
                    except httpx.TransportError:
                        time.sleep(0.05)
                        continue
                    assert job.status_code == 202, job.text
                    acknowledged[key] = job.json()["id"]

    clients = [threading.Thread(target=post_and_post, daemon=True) for _ in range(8)]
    for client in clients:
        client.start()
    kills = 50 if long else 3
    for _ in range(kills):
        time.sleep(random.uniform(0.2, 0.6))
        api.kill()
        api = deployment.start_api()
        deployment.wait_for_api()
    done.set()
    for client in clients:
        client.join(30)
        assert not client.is_alive()
    stored = [job.id for job in all_jobs(deployment)]
    assert sorted(acknowledged.values()) == sorted(stored)
    for job_id in stored:
        deployment.wait_for(job_id, lambda job: job.finished_at, 120)
    assert {(job.status, job.attempt) for job in all_jobs(deployment)} == {("succeeded", 1)}
    print(f"B3: {len(stored)} jobs, {kills} kills under 8 clients")


def test_a_job_whose_message_died_with_a_paused_worker_runs_elsewhere(deploy: Deploy) -> None:
    """B6: the message leaves the broker's list for a process that will never read it."""
    deployment = deploy()
    deployment.start_api()
    first = deployment.start_light_worker()
    deployment.wait_for_api()
    deployment.wait_for_status(deployment.submit(name="warm"), "succeeded")
    body = {"dataset_id": deployment.upload(), "base_model": "roberta-base"}
    with deployment.broker_client() as broker:
        for _ in range(10):  # until it is paused as it waits for a message: neither between two waits, nor in a write
            wait_until(lambda: broker.llen(QUEUE) == 0, 10)
            first.signal(signal.SIGSTOP)
            sent = _messages_sent(broker)
            answer = deployment.client.post("/jobs", json=body)
            time.sleep(0.3)
            if took := answer.status_code == 202 and _messages_sent(broker) > sent and broker.llen(QUEUE) == 0:
                break
            first.signal(signal.SIGCONT)
            if answer.status_code == 202:
                deployment.wait_for_status(answer.json()["id"], "succeeded")
        assert took
    job_id = answer.json()["id"]
    first.kill()
    assert deployment.job(job_id).status == "queued"
    deployment.start_light_worker()
    print(f"B6: ran {deployment.wait_for_status(job_id, 'succeeded', 30):.1f} s later")


def _messages_sent(broker: redis.Redis) -> int:
    return int(broker.info("commandstats")["cmdstat_lpush"]["calls"])


def test_a_job_that_always_kills_its_run_fails_with_its_last_words_and_the_next_runs(deploy: Deploy) -> None:
    """B11"""
    deployment = deploy()
    deployment.start_api()
    worker = deployment.start_light_worker()
    deployment.wait_for_api()
    poison = deployment.submit(name="abort")
    good = deployment.submit(name="good")
    deployment.wait_for_status(poison, "failed")
    deployment.wait_for_status(good, "succeeded")
    failed = deployment.job(poison)
    assert (failed.attempt, failed.crashes) == (3, 3)
    assert failed.error is not None
    assert failed.error["code"] == "run_crashed"
    assert "SIGABRT" in failed.error["message"]
    assert "this run is poison" in failed.error["message"]
    assert worker.alive()


@pytest.mark.parametrize("moment", ["training", pytest.param("measuring", marks=pytest.mark.waits)])
def test_a_worker_that_is_asked_to_stop_hands_its_job_back_in_time(deploy: Deploy, moment: str) -> None:
    """B15: a run in training writes a checkpoint; one that heeds nothing is ended after 20 s."""
    deployment = deploy()
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    texts = {"name": "toys", "language": "english", "train": columns(*choosing(240))}
    job_id = deployment.submit(deployment.upload(texts), num_epochs=30, batch_size=1)  # epochs of two seconds
    deployment.wait_for(job_id, lambda job: _epochs(job) > 1 and 0.1 < _epochs(job) % 1 < 0.6, seconds=120)
    if moment == "measuring":  # as far as the worker can tell
        for pid in runs_of(worker):
            os.kill(pid, signal.SIGSTOP)
    seconds = worker.stop()
    handed = deployment.job(job_id)
    assert seconds < 30
    assert (handed.status, handed.crashes, handed.lease_owner) == ("queued", 0, None)
    deployment.start_worker()
    wait_until(lambda: deployment.resumed_steps(job_id), 60, deployment.tail)
    (first,) = deployment.resumed_steps(job_id)
    steps_per_epoch = handed.progress["total_steps"] // 30
    assert first >= handed.progress["step"] - steps_per_epoch
    assert (first % steps_per_epoch != 0) == (moment == "training"), (first, steps_per_epoch)
    print(f"B15 {moment}: ended after {seconds:.1f} s")


def _epochs(job: JobRecord) -> float:
    """How many it has made, with the part of the one that is under way."""
    return float(job.progress["step"] * job.progress["num_epochs"] / job.progress["total_steps"])
