"""Jobs from claim to end, with real child processes. Those that die, hang or fill memory are in tests/faults."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from parts.deployment import ROOT, running, wait_until
from parts.rows import add_dataset, add_job, read_job
from parts.runs import make_order, store_toy_dataset
from service.errors import Unavailable
from service.jobs.report import REPORT_JSON, REPORT_PAGE
from service.settings import Settings
from service.store import events, jobs, models
from service.store.artifacts import MANIFEST, ArtifactStore
from service.store.database import Database
from service.store.records import DatasetRecord, EventRecord, JobRecord, Json
from worker.lease import Lease
from worker.process import TrainingProcess
from worker.supervise import Supervisor

LONG = {"num_epochs": 1000}


class Worker:
    """A supervisor in a thread of its own."""

    def __init__(self, settings: Settings, database: Database, owner: str = "w1") -> None:
        self.stopping = threading.Event()
        artifacts = ArtifactStore(settings.artifacts_dir)
        self.supervisor = Supervisor(settings, database, artifacts, owner, self.stopping)
        self.thread = threading.Thread(target=self.supervisor.run_queued_jobs)

    @contextmanager
    def running(self) -> Iterator["Worker"]:
        self.thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self.thread.join(60)
        assert not self.thread.is_alive()


def queue_job(
    settings: Settings, database: Database, dataset: DatasetRecord, *, warnings: Any = (), **asked: Any
) -> JobRecord:
    order = make_order(settings, dataset, "roberta-base", **asked)
    return add_job(
        database,
        dataset_id=dataset.id,
        test_sha256=dataset.test_sha256,
        base_model=order.base_model,
        hyperparameters=order.hyperparameters.model_dump(),
        warnings=list(warnings),
    )


def wait_for(database: Database, job_id: str, what: Callable[[JobRecord], bool], seconds: float = 60) -> JobRecord:
    wait_until(lambda: what(read_job(database, job_id)), seconds, lambda: read_job(database, job_id))
    return read_job(database, job_id)


def events_of(database: Database, job_id: str) -> list[EventRecord]:
    with database.read() as tx:
        return events.page(tx, "default", job_id, 1000, 0).data


def children() -> list[int]:
    """Processes of training runs that are alive under this one."""
    own = {b"worker.child", str(os.getpid()).encode()}
    return [pid for pid, words, _ in running() if own <= set(words.split(b"\0"))]


def training(job: JobRecord) -> bool:
    return int(job.progress["step"]) > 0


def test_a_job_runs_to_its_model_and_leaves_no_process_or_checkpoint(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    asked_for = {"code": "language_unknown", "message": "said when it was sent"}
    job = queue_job(settings, sqlite, dataset, warnings=[asked_for])
    with Worker(settings, sqlite).running():
        done = wait_for(sqlite, job.id, lambda job: job.status == "succeeded")
    with sqlite.read() as tx:
        model = models.get(tx, "default", done.model_id or "")
    assert model is not None
    assert (model.name, model.version, model.job_id, model.labels) == ("fruit", 1, job.id, dataset.labels)
    assert done.best is not None
    assert model.val_loss == done.best["val_loss"]
    assert done.warnings[0] == asked_for
    assert "few_test_rows" in [warning["code"] for warning in done.warnings]  # the toy set is small, and that is said
    assert done.progress == {"epoch": 3, "num_epochs": 3, "step": 15, "total_steps": 15}
    ArtifactStore(settings.artifacts_dir).open("models", model.id)
    kinds = [event.type for event in events_of(sqlite, job.id)]
    assert kinds.count("metrics") == 3
    metrics = next(event.data for event in events_of(sqlite, job.id) if event.type == "metrics")
    assert metrics is not None
    assert {"train_loss", "val_loss", "val_macro_f1", "learning_rate"} <= metrics.keys()
    assert children() == []
    assert not (settings.artifacts_dir / "checkpoints" / job.id).exists()


def test_the_report_says_how_often_its_test_split_was_scored_before(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    queued = [queue_job(settings, sqlite, dataset, num_epochs=1) for _ in range(2)]
    before = []
    with Worker(settings, sqlite).running():
        for job in queued:
            done = wait_for(sqlite, job.id, lambda job: job.status == "succeeded")
            folder = ArtifactStore(settings.artifacts_dir).open("reports", done.model_id or "")
            before.append(json.loads((folder / REPORT_JSON).read_text())["selection"]["test_scored_before"])
            assert (folder / REPORT_PAGE).read_text().startswith("<!DOCTYPE html>")
    assert before == [0, 1]


def test_a_job_that_waits_has_its_process_got_ready_while_the_one_before_is_measured(
    settings: Settings, sqlite: Database
) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    first, second = (queue_job(settings, sqlite, dataset, num_epochs=1) for _ in range(2))
    worker = Worker(settings, sqlite)
    worker.supervisor.processes.keep_one_ready()
    with closing(worker.supervisor.processes), worker.running():
        wait_for(sqlite, first.id, lambda job: job.phase == "evaluating")
        wait_until(lambda: len(children()) == 2, 10)
        assert read_job(sqlite, first.id).status == "running"
        wait_for(sqlite, second.id, lambda job: job.phase == "evaluating")
        looks = 0
        while read_job(sqlite, second.id).status == "running":
            assert len(children()) <= 1  # nobody waits any more
            looks += 1
            time.sleep(0.05)
        assert looks


def test_cancel_ends_a_running_job_within_seconds(settings: Settings, sqlite: Database) -> None:
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite), **LONG)
    with Worker(settings, sqlite).running():
        wait_for(sqlite, job.id, training)
        asked = time.monotonic()
        with sqlite.write() as tx:
            jobs.request_cancel(tx, "default", job.id)
        wait_for(sqlite, job.id, lambda job: job.status == "cancelled", seconds=15)
        assert time.monotonic() - asked < 15
        assert children() == []


def test_a_cancellation_between_the_model_and_the_run_s_word_of_it_leaves_neither_model_nor_report(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker looks after the run has put both in place, and before it has taken the run's last word."""
    artifacts = ArtifactStore(settings.artifacts_dir)
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite))
    published: list[str] = []

    class Process(TrainingProcess):
        def next_message(self, timeout_seconds: float) -> Json | None:
            message = super().next_message(timeout_seconds)
            if message is None or message["kind"] != "succeeded":
                return message
            published.extend([*artifacts.names("models"), *artifacts.names("reports")])
            with sqlite.write() as tx:
                jobs.request_cancel(tx, "default", job.id)
            monkeypatch.setattr(Lease, "due", lambda _: True)
            return None

    monkeypatch.setattr("worker.spare.TrainingProcess", Process)
    run_light(monkeypatch, tmp_path / "light")
    with Worker(settings, sqlite).running():
        wait_for(sqlite, job.id, lambda job: job.status == "cancelled")
        wait_until(lambda: artifacts.names("models") == artifacts.names("reports") == [], 5)  # after the job's row
    assert published == [published[0]] * 2


def run_light(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    """Runs train nothing and publish whatever is in the folder `model`."""
    model.mkdir()
    (model / MANIFEST).write_text("{}")
    monkeypatch.setattr("worker.process.PROGRAM", "parts.light_run")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    monkeypatch.setenv("LIGHT_MODEL", str(model))


def test_a_job_that_fails_after_its_cancellation_was_answered_ends_as_cancelled(
    settings: Settings, sqlite: Database
) -> None:
    """As when its model diverges in the second before the worker looks."""
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite))
    lease = Lease(60)
    with sqlite.write() as tx:
        claimed = jobs.claim_next(tx, "worker", lease.seconds)
        assert claimed is not None
        jobs.request_cancel(tx, "default", job.id)
    supervisor = Supervisor(settings, sqlite, ArtifactStore(settings.artifacts_dir), "worker", threading.Event())
    with sqlite.write() as tx:
        tx.exec_driver_sql("DELETE FROM datasets")  # so the job cannot but fail
    supervisor.run_job(claimed, lease)
    ended = read_job(sqlite, job.id)
    assert (ended.status, ended.error) == ("cancelled", None)
    assert [event.message for event in events_of(sqlite, job.id)] == ["cancelled"]


def test_a_database_that_is_away_as_an_attempt_begins_costs_nothing(settings: Settings, sqlite: Database) -> None:
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite))
    left = [None, None, None]  # as many calls find nobody there

    class Flaky(Database):
        @contextmanager
        def read(self) -> Iterator[Connection]:
            if left:
                left.pop()
                raise Unavailable("the database does not answer")
            with super().read() as tx:
                yield tx

    with Worker(settings, Flaky(settings.sql_url)).running():
        done = wait_for(sqlite, job.id, lambda job: job.status == "succeeded")
    assert (done.attempt, done.crashes, left) == (1, 0, [])


def test_a_job_that_this_worker_cannot_start_is_told_and_tried_again(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than silent until its lease is over, three times, and then lost."""
    no_room = [OSError(errno.EAGAIN, "no process to be had")]

    class Process(TrainingProcess):
        def __init__(self) -> None:
            if no_room:
                raise no_room.pop()
            super().__init__()

    monkeypatch.setattr("worker.spare.TrainingProcess", Process)
    monkeypatch.setattr("worker.supervise.FAULT_SECONDS", 0.1)
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite))
    with Worker(settings, sqlite).running():
        done = wait_for(sqlite, job.id, lambda job: job.status == "succeeded")
    assert (done.attempt, done.crashes) == (2, 1)
    told = [event.message for event in events_of(sqlite, job.id) if event.level == "error"]
    assert told == ["the worker could not run it (BlockingIOError); its log says more"]


def test_a_job_that_takes_longer_than_the_operator_allows_fails_by_name(settings: Settings, sqlite: Database) -> None:
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite), **LONG)
    with Worker(settings.model_copy(update={"max_run_seconds": 0.5}), sqlite).running():
        failed = wait_for(sqlite, job.id, lambda job: job.status == "failed")
    assert failed.error is not None
    assert (failed.error["code"], failed.crashes) == ("time_limit", 0)
    assert children() == []


def test_a_worker_whose_job_was_taken_over_writes_nothing_and_ends_its_run(
    settings: Settings, sqlite: Database
) -> None:
    job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite), **LONG)
    with Worker(settings, sqlite).running() as worker:
        wait_for(sqlite, job.id, training)
        worker.stopping.set = lambda: None  # type: ignore[method-assign]  # it is to notice by itself
        with sqlite.write() as tx:
            tx.exec_driver_sql("UPDATE jobs SET lease_owner = 'another', attempt = attempt + 1")
        before = read_job(sqlite, job.id)
        worker.thread.join(15)
        assert not worker.thread.is_alive()
    assert children() == []
    after = read_job(sqlite, job.id)
    assert (after.attempt, after.lease_owner, after.progress) == (2, "another", before.progress)


@pytest.mark.parametrize("gone", ["dataset row", "dataset files", "a bit of the dataset", "base model"])
def test_what_a_job_needs_and_is_gone_fails_it_at_once_with_a_reason(
    settings: Settings, sqlite: Database, gone: str, tmp_path: Path
) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    job = queue_job(settings, sqlite, dataset)
    if gone == "dataset row":
        job = queue_job(settings, sqlite, add_dataset(sqlite))
        with sqlite.write() as tx:
            tx.exec_driver_sql("DELETE FROM datasets WHERE id = ?", (job.dataset_id,))
    elif gone == "dataset files":
        ArtifactStore(settings.artifacts_dir).remove("datasets", dataset.id)
    elif gone == "a bit of the dataset":
        path = ArtifactStore(settings.artifacts_dir).path("datasets", dataset.id) / "train.jsonl"
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(bytes(damaged))
    else:
        settings = settings.model_copy(update={"base_models_dir": tmp_path / "empty"})
    with Worker(settings, sqlite).running():
        failed = wait_for(sqlite, job.id, lambda job: job.status in ("failed", "succeeded"))
    assert failed.error is not None
    code = {
        "dataset row": "dataset_not_found",
        "dataset files": "not_found",
        "a bit of the dataset": "artifact_corrupt",
        "base model": "base_model_unavailable",
    }
    assert failed.error["code"] == code[gone]
    assert failed.crashes == 0


def test_the_training_run_is_told_no_address_and_no_password(settings: Settings, sqlite: Database) -> None:
    os.environ["DATABASE_URL"], os.environ["BROKER_URL"] = "postgresql://u:planted@h/d", "redis://:planted@h"
    try:
        job = queue_job(settings, sqlite, store_toy_dataset(settings, sqlite), **LONG)
        with Worker(settings, sqlite).running():
            wait_for(sqlite, job.id, training)
            (pid,) = children()
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"planted" not in environment
            assert b"HF_HUB_OFFLINE=1" in environment
    finally:
        del os.environ["DATABASE_URL"], os.environ["BROKER_URL"]
    order = make_order(settings, store_toy_dataset(settings, sqlite), "roberta-base")
    sent = json.loads(order.model_dump_json(exclude={"settings": {"database_url", "broker_url"}}))
    assert not {"database_url", "broker_url"} & sent["settings"].keys()
