"""A database that is contended, away, or killed in the middle of its migration."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from faults.conftest import Deploy
from faults.invariants import all_jobs
from parts.clients import Clients
from parts.deployment import ROOT, Deployment, is_ready, wait_until
from parts.log_lines import crashes
from parts.open_loop import share
from parts.ports import free_port
from parts.postgres import drop_database, fresh_database, paused, postgres_server
from parts.rows import add_job, claim
from parts.subscribers import Subscribers
from service.store import jobs
from service.store.database import Database
from service.store.records import Claim


@pytest.mark.timeout(900)  # at full length it is 10 minutes and the last jobs
def test_two_services_and_three_workers_on_one_sqlite_file_miss_no_beat(deploy: Deploy, long: bool) -> None:
    """B18: with three more processes' worth of beats, for 10 minutes (15 s in the suite)."""
    deployment = deploy(light_epoch_seconds=0.02, lease_seconds=10, quota_models="none")  # a thousand jobs
    deployment.start_api()
    deployment.wait_for_api()
    deployment.start_api(port=free_port())
    dataset = deployment.upload()
    held = [_hold(deployment, f"holder-{number}") for number in range(3)]
    for _ in range(3):
        deployment.start_light_worker()
    ended, beats = threading.Event(), list[float]()
    holders = [threading.Thread(target=_beat, args=(deployment, claim, ended, beats), daemon=True) for claim in held]
    for holder in holders:
        holder.start()
    began = time.monotonic()
    while time.monotonic() - began < (600 if long else 15):
        deployment.submit(dataset, num_epochs=20)
        time.sleep(0.5)
    ended.set()
    for holder in holders:
        holder.join(30)
    with deployment.database.write() as tx:
        for held_claim in held:
            jobs.finish(tx, held_claim, "cancelled", {})
    wait_until(lambda: all(job.finished_at for job in all_jobs(deployment)), 60, deployment.tail)
    assert {job.attempt for job in all_jobs(deployment)} == {1}
    log = deployment.log.read_text(errors="replace")
    assert "database is locked" not in log
    assert "job_reclaimed" not in log
    beats.sort()
    slow, slowest = beats[int(len(beats) * 0.99)], beats[-1]
    assert slow < 2  # a fifth of the lease
    print(
        f"B18: {len(all_jobs(deployment))} jobs; of {len(beats)} beats 99 % within {slow:.2f} s, all in {slowest:.2f} s"
    )


def _hold(deployment: Deployment, owner: str) -> Claim:
    add_job(deployment.database)
    return claim(deployment.database, owner, 10)


def _beat(deployment: Deployment, held: Claim, ended: threading.Event, beats: list[float]) -> None:
    while not ended.wait(0.2):
        began = time.monotonic()
        with deployment.database.write() as tx:
            jobs.renew(tx, held, 10)
        beats.append(time.monotonic() - began)


def check_service_without_database(deployment: Deployment, dataset: str, patience: float) -> None:
    """Writes are refused with a time to retry, and what is in memory still answers."""
    began = time.monotonic()
    answer = deployment.client.post("/jobs", json={"dataset_id": dataset})
    refused = time.monotonic() - began
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert refused < patience
    began = time.monotonic()
    assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
    assert deployment.client.get("/health/ready").status_code == 503
    assert deployment.client.get("/health/live").status_code == 200
    print(f"B19: refused after {refused:.1f} s, /predict and health answered in {time.monotonic() - began:.1f} s")


@pytest.fixture
def server() -> Iterator[str]:
    """Of one test, which may stop it. To be asked for before `deploy`, which looks at what is left."""
    with postgres_server() as url:
        yield url


@pytest.mark.waits
def test_a_postgresql_server_that_stops_and_comes_back_disturbs_no_run(server: str, deploy: Deploy) -> None:
    """B19: every connection is ended and none let in, for 8 s of a lease of 20 s (the bar: 30 s of 60 s)."""
    deployment = deploy(fresh_database(server), lease_seconds=20, light_epoch_seconds=0.2)
    dataset = _serve_and_upload(deployment)
    job_id = deployment.submit(dataset, num_epochs=70)
    deployment.wait_for(job_id, lambda job: job.progress["step"] > 2)
    with _stopped(server):
        check_service_without_database(deployment, dataset, patience=6)
        time.sleep(6)
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 1
    assert crashes(deployment.log.read_text()) == []


@pytest.mark.waits
@pytest.mark.timeout(900)
def test_a_postgresql_server_that_is_gone_for_longer_than_a_lease_costs_an_attempt_and_no_job(
    server: str, deploy: Deploy, long: bool
) -> None:
    """B19: for 10 s of a lease of 6 s (300 s of 60 s at full length)."""
    gone, lease, epochs = (300, 60, 400) if long else (10, 6, 45)  # an epoch takes 0.2 s: longer than the lease
    deployment = deploy(fresh_database(server), lease_seconds=lease, light_epoch_seconds=0.2)
    dataset = _serve_and_upload(deployment)
    running, waiting = deployment.submit(dataset, num_epochs=epochs), deployment.submit(dataset, num_epochs=2)
    deployment.wait_for(running, lambda job: job.progress["step"] > 2)
    with _stopped(server):
        check_service_without_database(deployment, dataset, patience=6)
        time.sleep(gone)
    began = time.monotonic()
    deployment.wait_for(running, lambda job: job.attempt == 2 and job.status == "running", 60)
    print(f"B19: database gone for {gone} s: claimed again {time.monotonic() - began:.1f} s after it was back")
    for job_id in (running, waiting):
        deployment.wait_for_status(job_id, "succeeded", 150)
    assert [deployment.job(job_id).attempt for job_id in (running, waiting)] == [2, 1]
    assert crashes(deployment.log.read_text()) == []


@pytest.mark.waits
def test_a_sqlite_file_that_is_locked_refuses_and_heals(deploy: Deploy) -> None:
    """B19: by another program that writes. (Readers go on: nothing locks them out of a file with a write-ahead log.)"""
    deployment = deploy(lease_seconds=60, light_epoch_seconds=0.2)
    dataset = _serve_and_upload(deployment)
    job_id = deployment.submit(dataset, num_epochs=70)
    deployment.wait_for(job_id, lambda job: job.progress["step"] > 2)
    with sqlite3.connect(deployment.database.url.database or "", isolation_level=None) as thief:
        thief.execute("BEGIN IMMEDIATE")
        answer = deployment.client.post("/jobs", json={"dataset_id": dataset})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
        thief.execute("ROLLBACK")
    thief.close()
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 1


def test_a_postgresql_server_that_stands_still_makes_nobody_wait_who_can_do_without(
    server: str, deploy: Deploy
) -> None:
    """B31: all its processes are paused for 8 s, under 8 clients that predict and one that follows a job."""
    deployment = deploy(fresh_database(server), lease_seconds=60, light_epoch_seconds=0.2)
    dataset = _serve_and_upload(deployment)
    job_id = deployment.submit(dataset, num_epochs=70)
    deployment.wait_for(job_id, lambda job: job.progress["step"] > 2)
    follower = Subscribers(deployment.api_port, job_id, 1, restless=0)
    wait_until(lambda: follower.seen[0], 10)
    load = TimedClients(deployment)
    with paused(server):
        unready = wait_until(lambda: deployment.client.get("/health/ready").status_code == 503, 6)
        assert unready < 5
        refused = _seconds(lambda: deployment.client.post("/jobs", json={"dataset_id": dataset}), 503)
        read = _seconds(lambda: deployment.client.get(f"/jobs/{job_id}"), 503)
        alive = _seconds(lambda: deployment.client.get("/health/live"), 200)
        known = time.monotonic()
        time.sleep(8 - unready)
        resumes = time.monotonic()
    ready = wait_until(lambda: is_ready(deployment.client), 10, deployment.tail)
    assert load.end() == {200}
    slowest = max(seconds for _, seconds in load.seconds)
    then = share([seconds for began, seconds in load.seconds if known < began < resumes], 0.99)
    assert slowest < 5
    assert max(refused, read, alive, then) < 1
    assert ready < 5
    deployment.wait_for_status(job_id, "succeeded", 90)
    follower.end(10)
    assert follower.seen == [list(range(1, deployment.job(job_id).last_event + 1))]
    print(
        f"B31: database paused: not ready after {unready:.1f} s; {len(load.seconds)} predictions, the slowest "
        f"{slowest:.1f} s, 99 % within {then:.2f} s once it was known; ready {ready:.1f} s after it went on"
    )


class TimedClients(Clients):
    """`seconds`: when each prediction began, and how long it took."""

    def __init__(self, deployment: Deployment) -> None:
        self.seconds: list[tuple[float, float]] = []

        def ask() -> int:
            began = time.monotonic()
            status = deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code
            self.seconds.append((began, time.monotonic() - began))
            return status

        super().__init__(ask, 8)


def _seconds(ask: Callable[[], httpx.Response], status: int) -> float:
    began = time.monotonic()
    assert ask().status_code == status
    return time.monotonic() - began


def _serve_and_upload(deployment: Deployment) -> str:
    deployment.start_api()
    deployment.start_light_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    deployment.wait_for_status(deployment.submit(dataset), "succeeded")
    assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
    return dataset


class _stopped:
    """The server's processes refuse everybody for the block: connections are ended and none is let in."""

    def __init__(self, server: str) -> None:
        self._server = Database(server)

    def __enter__(self) -> None:
        self._admit(False)

    def __exit__(self, *_: object) -> None:
        self._admit(True)
        self._server.close()

    def _admit(self, yes: bool) -> None:
        with self._server.write() as tx:
            others = "FROM pg_database WHERE datname LIKE 'test_%%'"
            for (name,) in tx.exec_driver_sql(f"SELECT datname {others}").all():
                tx.exec_driver_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {yes}")
        with self._server.write() as tx:
            tx.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%%'")


KILLED_AT_STEP = """
import os, signal, sys
from alembic import op
steps = [0]
def counted(right):
    def step(*args, **kwargs):
        result = right(*args, **kwargs)
        steps[0] += 1
        if steps[0] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return step
for name in ("create_table", "create_index", "drop_index", "batch_alter_table", "bulk_insert", "execute"):
    setattr(op, name, counted(getattr(op, name)))
from service.store.database import Database
from service.store.migrate import migrate
migrate(Database(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/a.sqlite3"
        return
    url = fresh_database(request.getfixturevalue("postgres"))
    yield url
    drop_database(url)


def test_a_migration_killed_after_any_step_is_made_whole_by_the_next_start(empty_url: str) -> None:
    """B20"""
    step = 0
    while _killed_at(step := step + 1, empty_url):
        database = Database(empty_url)
        with database.read() as tx:
            found = database.engine.dialect.get_table_names(tx)
        assert set(found) <= {"alembic_version"}, found
        database.close()
    assert step > 10  # killed after each but the last of them, which went through
    database = Database(empty_url)
    add_job(database)
    database.close()


def _killed_at(step: int, url: str) -> bool:
    words = [sys.executable, "-c", KILLED_AT_STEP, url, str(step)]
    return subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
