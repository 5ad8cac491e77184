"""Who owns a job: workers that sleep, are cut off, hang or have a wrong clock, and clients that change their mind."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from faults.conftest import Deploy
from faults.invariants import all_models
from faults.wrong_clock import wrong_by
from parts.deployment import Deployment, is_alive, runs_of, wait_until
from parts.proxy import Proxy

pytestmark = pytest.mark.waits
LEASE = 6.0  # seconds in these tests, of 60 by default


def test_a_worker_that_sleeps_through_its_lease_changes_nothing_when_it_wakes(
    postgres_url: str, deploy: Deploy
) -> None:
    """B7: worker and run are paused for twice the lease; another worker's attempt has then finished the job.

    On PostgreSQL: on SQLite whoever is paused in the middle of a write keeps all others from writing.
    """
    deployment = deploy(postgres_url)
    deployment.start_api()
    sleeper = deployment.start_worker()
    deployment.wait_for_api()
    job_id = deployment.submit(num_epochs=40)
    deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 3)
    group = [sleeper.pid, *runs_of(sleeper)]
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    paused = time.monotonic()
    deployment.start_worker()
    deployment.wait_for(job_id, lambda job: job.attempt == 2, seconds=LEASE + 20)
    print(f"B7: taken over {time.monotonic() - paused:.1f} s after the pause of a lease of {LEASE:g} s")
    deployment.wait_for_status(job_id, "succeeded")
    time.sleep(max(0, 2 * LEASE - (time.monotonic() - paused)))
    before = deployment.job(job_id), deployment.events(job_id)
    for pid in reversed(group):
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not any(map(is_alive, group[1:])), 15)
    time.sleep(2)
    assert (deployment.job(job_id), deployment.events(job_id)) == before
    assert sleeper.alive()
    assert deployment.job(job_id).attempt == 2
    assert len(all_models(deployment)) == 1


class Line:
    """The network between one worker and its database and broker, on PostgreSQL."""

    def __init__(self, deployment: Deployment) -> None:
        parts = urlsplit(deployment.database_url)
        where = parse_qs(parts.query)
        self.database = Proxy(f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}")
        self.broker = Proxy(("127.0.0.1", deployment.broker_port))
        url = f"postgresql+psycopg://postgres@127.0.0.1:{self.database.port}{parts.path}"
        self.settings = {"database_url": url, "broker_url": f"redis://127.0.0.1:{self.broker.port}/0"}


@pytest.fixture
def cut_off(postgres_url: str, deploy: Deploy) -> Iterator[tuple[Deployment, Line]]:
    deployment = deploy(postgres_url, lease_seconds=10, light_epoch_seconds=0.2)
    line = Line(deployment)
    deployment.start_api()
    deployment.wait_for_api()
    yield deployment, line
    line.database.close()
    line.broker.close()


def test_a_short_cut_of_the_network_disturbs_no_run(cut_off: tuple[Deployment, Line]) -> None:
    """B9: 4 s of a lease of 10 s, as 30 s are of 60 s and a bit less."""
    deployment, line = cut_off
    deployment.start_light_worker(**line.settings)
    job_id = deployment.submit(num_epochs=40)
    deployment.wait_for(job_id, lambda job: job.progress["step"] > 3)
    with line.database.cut(), line.broker.cut():
        time.sleep(4)
    deployment.wait_for_status(job_id, "succeeded")
    assert deployment.job(job_id).attempt == 1


def test_a_worker_cut_off_for_long_ends_its_run_before_another_may_begin(cut_off: tuple[Deployment, Line]) -> None:
    """B9: its call to the database hangs, for nobody refuses it."""
    deployment, line = cut_off
    lonely = deployment.start_light_worker(**line.settings)
    job_id = deployment.submit(num_epochs=70)
    deployment.wait_for(job_id, lambda job: job.progress["step"] > 3)
    runs = runs_of(lonely)
    deployment.start_light_worker()
    with line.database.cut(), line.broker.cut():
        began = time.monotonic()
        gone = wait_until(lambda: not any(map(is_alive, runs)), 10)
        assert deployment.job(job_id).attempt == 1  # nobody else has begun
        deployment.wait_for(job_id, lambda job: job.attempt == 2, seconds=15)
        again = time.monotonic() - began
        time.sleep(10)
    deployment.wait_for_status(job_id, "succeeded", seconds=90)
    assert deployment.job(job_id).attempt == 2
    next_job = deployment.submit()
    deployment.wait_for_status(next_job, "succeeded")
    assert lonely.alive()
    print(f"B9: own run ended {gone:.1f} s, taken over {again:.1f} s after the cut, of a lease of 10 s")


def test_a_run_that_hangs_is_ended_and_tried_again(deploy: Deploy) -> None:
    """B12: the run is paused; it counts as stuck after 20 s (600 s by default)."""
    deployment = deploy(stall_seconds=20)
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    job_id = deployment.submit(num_epochs=40)
    deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 3)
    for pid in runs_of(worker):
        os.kill(pid, signal.SIGSTOP)
    seconds = deployment.wait_for(job_id, lambda job: job.attempt == 2, seconds=60)
    deployment.wait_for_status(job_id, "succeeded")
    messages = deployment.messages(job_id)
    assert any("no progress for 20 s" in message for message in messages)
    assert any(message.startswith("resumed after step") for message in messages)
    print(f"B12: tried again {seconds:.1f} s after the pause")


def test_workers_with_clocks_an_hour_off_steal_no_lease_and_lose_none(postgres_url: str, deploy: Deploy) -> None:
    """B17: on PostgreSQL, because on SQLite all processes are on one machine and share its clock."""
    deployment = deploy(postgres_url, light_epoch_seconds=0.2)
    path = deployment.environment["PYTHONPATH"]
    for hours in (1, -1):
        deployment.start_light_worker(**wrong_by(hours, deployment.root / str(hours), path))
    deployment.start_python(
        "service.cli", "api", port=deployment.api_port, **wrong_by(1, deployment.root / "api", path)
    )
    deployment.wait_for_api()
    dataset = deployment.upload()
    running = [deployment.submit(dataset, num_epochs=50) for _ in range(2)]
    for job_id in running:
        deployment.wait_for(job_id, lambda job: job.progress["step"] > 0)
    ahead = deployment.submit(dataset, num_epochs=1)
    deployment.parts[-1].stop()
    deployment.start_api()  # with the right clock: its ids are an hour older
    deployment.wait_for_api()
    behind = deployment.submit(dataset, num_epochs=1)
    for job_id in (*running, ahead, behind):
        deployment.wait_for_status(job_id, "succeeded")
    jobs = [deployment.job(job_id) for job_id in (*running, ahead, behind)]
    assert [job.attempt for job in jobs] == [1] * 4
    assert behind < ahead  # by their ids
    started = [job.started_at or 0 for job in jobs]
    assert started[2] <= started[3]  # but by the database's clock as they came
    assert all(abs(moment - time.time()) < 600 for moment in started)


def submit_and_reach(deployment: Deployment, moment: str) -> str:
    """A job that is queued behind another, under way, publishing, or done."""
    if moment == "queued":
        deployment.submit(num_epochs=100)
    job_id = deployment.submit(num_epochs=3 if moment in ("finished", "finishing") else 60)
    wanted: dict[str, Callable[[], object]] = {
        "queued": lambda: True,
        "running": lambda: deployment.job(job_id).progress["step"] > 0,
        "finishing": lambda: deployment.job(job_id).progress["step"] == 3,
        "finished": lambda: deployment.job(job_id).status == "succeeded",
    }
    wait_until(wanted[moment], 30)
    return job_id


@pytest.fixture
def with_worker(deploy: Deploy) -> Deployment:
    deployment = deploy(light_epoch_seconds=0.1)
    deployment.start_api()
    deployment.start_light_worker()
    deployment.wait_for_api()
    return deployment


def test_cancel_while_queued_means_that_it_never_runs(with_worker: Deployment) -> None:
    """B14, B23 of the failures: not even after everything was restarted."""
    job_id = submit_and_reach(with_worker, "queued")
    for _ in range(2):
        answer = with_worker.client.post(f"/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    for part in with_worker.parts:
        part.kill()
    with_worker.start_broker()
    with_worker.start_light_worker()
    with_worker.start_api()
    with_worker.wait_for_api()
    with_worker.wait_for_status(with_worker.submit(num_epochs=1), "succeeded")
    assert (with_worker.job(job_id).status, with_worker.job(job_id).attempt) == ("cancelled", 0)


def test_cancel_while_running_ends_the_run(with_worker: Deployment) -> None:
    """B14"""
    job_id = submit_and_reach(with_worker, "running")
    worker = with_worker.parts[2]
    (run,) = runs_of(worker)
    answer = with_worker.client.post(f"/jobs/{job_id}/cancel")
    assert answer.status_code == 200
    seconds = with_worker.wait_for_status(job_id, "cancelled", 15)
    assert not is_alive(run)
    assert with_worker.client.post(f"/jobs/{job_id}/cancel").status_code == 200
    print(f"B14: gone {seconds:.1f} s after the wish")


def test_cancel_at_the_very_end_has_one_clear_winner(with_worker: Deployment) -> None:
    """B14: who was told 200 gets a cancelled job and no model; who was too late is told 409."""
    answers = []
    for _ in range(8):
        job_id = submit_and_reach(with_worker, "finishing")
        time.sleep(random.uniform(0, 0.1))
        answer = with_worker.client.post(f"/jobs/{job_id}/cancel")
        with_worker.wait_for(job_id, lambda job: job.finished_at is not None)
        assert (answer.status_code, with_worker.job(job_id).status) in {(200, "cancelled"), (409, "succeeded")}
        answers.append(answer.status_code)
    published = {model.id for model in all_models(with_worker)}
    wait_until(lambda: set(with_worker.artifacts.names("models")) == published, 5)  # what lost goes after its row
    print(f"B14: answers at the very end {answers}")


def test_cancel_of_a_finished_job_is_a_conflict_however_many_ask(with_worker: Deployment) -> None:
    """B14"""
    job_id = submit_and_reach(with_worker, "finished")
    statuses: list[int] = []

    def cancel() -> None:
        statuses.append(with_worker.client.post(f"/jobs/{job_id}/cancel").status_code)

    askers = [threading.Thread(target=cancel) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert statuses == [409] * 5
    assert with_worker.job(job_id).status == "succeeded"
