"""The doorbell against a real server: the bundled one, started as `classiglot up` starts it."""

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from parts.deployment import wait_until
from parts.rows import add_dataset, add_job, add_model, claim, read_job
from service import processes, versions
from service.errors import SettingsInvalid, Unavailable
from service.jobs.embedded_broker import start_broker, tell_of_no_broker
from service.jobs.queue import QUEUE, Doorbell, make_celery
from service.jobs.sweep import TIDY_EVERY, Sweeper, reclaim_lost_jobs, ring_for_forgotten_jobs, tidy
from service.logs import configure_logs
from service.settings import Settings
from service.store import events, jobs, models
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.installation import check_same_installation
from service.store.migrate import migrate


@pytest.fixture
def broker(settings: Settings) -> Iterator[redis.Redis]:
    process = start_broker(settings)
    client = redis.Redis(unix_socket_path=str(settings.broker_socket))
    yield client
    client.close()
    processes.end(process, grace_seconds=5)


@pytest.fixture
def doorbell(settings: Settings) -> Iterator[Doorbell]:
    bell = Doorbell(make_celery(settings))
    yield bell
    bell.close()


def test_the_settings_that_reliability_rests_on(settings: Settings) -> None:
    conf = make_celery(settings).conf
    assert (conf.task_acks_late, conf.worker_disable_prefetch, conf.worker_prefetch_multiplier) == (False, True, 1)
    assert (conf.result_backend, conf.task_ignore_result) == (None, True)
    assert conf.accept_content == conf.result_accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.broker_connection_max_retries is None
    options = conf.broker_transport_options
    assert 0 < options["socket_timeout"] <= 10
    assert 0 < options["socket_connect_timeout"] <= 10
    assert 0 < options["health_check_interval"] <= 25


def test_the_broker_is_private(settings: Settings, broker: redis.Redis) -> None:
    assert stat.S_IMODE(settings.broker_socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.broker_socket.parent.stat().st_mode) == 0o700
    assert broker.config_get("port") == {"port": "0"}
    assert broker.config_get("save") == {"save": ""}


def test_a_part_that_is_started_where_no_broker_is_says_so(settings: Settings, request: pytest.FixtureRequest) -> None:
    with capture_logs() as logged:
        tell_of_no_broker(settings)
        tell_of_no_broker(settings.model_copy(update={"broker_url": "redis://elsewhere"}))
        request.getfixturevalue("broker")
        tell_of_no_broker(settings)
    (warning,) = logged
    assert (warning["event"], warning["log_level"]) == ("no_broker", "warning")
    assert "classiglot up" in warning["advice"]
    assert "BROKER_URL" in warning["advice"]


def test_a_ring_is_one_message_that_carries_the_id(doorbell: Doorbell, broker: redis.Redis) -> None:
    assert doorbell.waiting() == 0
    assert doorbell.ring("job_1")
    assert doorbell.waiting() == 1
    (message,) = broker.lrange(f"classiglot:{QUEUE}", 0, -1)
    assert b"classiglot.train" in message


def test_ringing_without_a_broker_fails_in_seconds_and_raises_nothing(doorbell: Doorbell) -> None:
    began = time.monotonic()
    assert doorbell.ring("job_1") is False
    assert time.monotonic() - began < 6
    with pytest.raises(Unavailable):
        doorbell.waiting()


def test_a_broker_that_forbids_what_is_asked_of_it_is_unavailable(doorbell: Doorbell, broker: redis.Redis) -> None:
    assert doorbell.ring("job_1")  # it is connected
    broker.acl_setuser("default", enabled=True, commands=["-llen"])
    with pytest.raises(Unavailable, match="no permissions") as caught:
        doorbell.waiting()
    assert (caught.value.code, caught.value.retry_after) == ("broker_unavailable", 5)


def test_a_ring_that_meets_a_bug_is_seen(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(doorbell, "ring", fail)
    with capture_logs() as logged:
        doorbell.ring_soon("job_1")
        wait_until(lambda: logged, 5)
    assert [(line["event"], line["error"]) for line in logged] == [("ring_crashed", "RuntimeError")]


def test_a_ring_that_was_lost_is_rung_again_and_rings_do_not_pile_up(
    sqlite: Database, doorbell: Doorbell, broker: redis.Redis
) -> None:
    add_job(sqlite)
    add_job(sqlite)
    assert ring_for_forgotten_jobs(sqlite, doorbell) == 2
    assert ring_for_forgotten_jobs(sqlite, doorbell) == 0
    broker.flushall()  # a broker that came back empty
    assert ring_for_forgotten_jobs(sqlite, doorbell) == 2


def test_nothing_is_rung_for_when_nothing_waits(sqlite: Database, doorbell: Doorbell, broker: redis.Redis) -> None:
    assert broker.ping()
    add_job(sqlite)
    claim(sqlite)
    assert ring_for_forgotten_jobs(sqlite, doorbell) == 0


def test_a_lost_job_is_queued_again_and_its_owner_told(sqlite: Database) -> None:
    job = add_job(sqlite)
    claim(sqlite, lease_seconds=-1)
    assert [lost.id for lost in reclaim_lost_jobs(sqlite, max_attempts=3)] == [job.id]
    with sqlite.read() as tx:
        last = events.page(tx, "default", job.id, 10, 0).data[-1]
    assert (last.level, last.message) == ("warning", "the worker of attempt 1 fell silent; now queued")


def test_checkpoints_of_final_jobs_are_tidied_away_and_others_kept(sqlite: Database, artifacts: ArtifactStore) -> None:
    final, waiting = add_job(sqlite), add_job(sqlite)
    with sqlite.write() as tx:
        jobs.request_cancel(tx, "default", final.id)
    for job in (final, waiting):
        with artifacts.writing("checkpoints", f"{job.id}/000000001-1") as folder:
            (folder / "weights").write_text("w")
    tidy(sqlite, artifacts)
    assert [path.name for path in (artifacts.root / "checkpoints").iterdir()] == [waiting.id]


def test_folders_that_no_row_knows_of_are_removed_once_they_are_old(sqlite: Database, artifacts: ArtifactStore) -> None:
    dataset = add_dataset(sqlite)
    for name in (dataset.id, "ds_orphan", "ds_new"):
        with artifacts.writing("datasets", name) as folder:
            (folder / "train.jsonl").write_text("{}")
    long_ago = time.time() - 2 * 24 * 3600
    for name in (dataset.id, "ds_orphan"):
        os.utime(artifacts.path("datasets", name), (long_ago, long_ago))
    tidy(sqlite, artifacts)
    assert sorted(artifacts.names("datasets")) == sorted([dataset.id, "ds_new"])


def test_a_report_is_kept_when_its_model_is_deleted_and_tidied_away_with_its_job(
    sqlite: Database, artifacts: ArtifactStore
) -> None:
    """Where the process that deleted the job died before it came to the report."""
    kept, forgotten = (add_model(sqlite, job_id=add_job(sqlite).id) for _ in range(2))
    long_ago = time.time() - 2 * 24 * 3600
    for model in (kept, forgotten):
        with artifacts.writing("reports", model.id) as folder:
            (folder / "report.json").write_text("{}")
        os.utime(artifacts.path("reports", model.id), (long_ago, long_ago))
    for held in (claim(sqlite), claim(sqlite)):
        with sqlite.write() as tx:
            jobs.finish(tx, held, "succeeded", {})
    with sqlite.write() as tx:
        models.remove(tx, "default", kept.id)
        jobs.remove(tx, "default", forgotten.job_id)
    tidy(sqlite, artifacts)
    assert artifacts.names("reports") == [kept.id]


@pytest.mark.usefixtures("broker")
def test_lost_jobs_do_not_wait_for_a_store_that_is_slow_to_be_tidied(
    settings: Settings, sqlite: Database, artifacts: ArtifactStore, doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(artifacts, "sweep", lambda: hangs.wait(30))
    job = add_job(sqlite)
    claim(sqlite, lease_seconds=-1)
    sweeper = Sweeper(settings, sqlite, artifacts, doorbell)
    for _ in range(2 * TIDY_EVERY):
        sweeper._sweep()
    assert read_job(sqlite, job.id).status == "queued"
    assert [thread.name for thread in threading.enumerate()].count("tidy") == 1
    hangs.set()


@pytest.mark.usefixtures("broker")
def test_a_machine_that_slept_gives_its_workers_a_moment_to_renew_their_leases(
    settings: Settings, sqlite: Database, artifacts: ArtifactStore, doorbell: Doorbell
) -> None:
    """An hour of sleep is one of the database's clock and none of ours."""
    job = add_job(sqlite)
    claim(sqlite, lease_seconds=-1)
    sweeper = Sweeper(settings, sqlite, artifacts, doorbell)
    sweeper._time_jumped()
    assert sweeper._clocks is not None
    ours, theirs = sweeper._clocks
    sweeper._clocks = ours, theirs - 3600
    sweeper._sweep()
    assert read_job(sqlite, job.id).status == "running"
    sweeper._sweep()
    assert read_job(sqlite, job.id).status == "queued"


def test_artifacts_of_another_database_are_never_swept(
    sqlite: Database, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    """To a database that is empty, or not the one meant, every folder would be an orphan."""
    check_same_installation(sqlite, artifacts)
    check_same_installation(sqlite, artifacts)
    mistyped = Database(f"sqlite:///{tmp_path}/mistyped.sqlite3")
    migrate(mistyped)
    with pytest.raises(SettingsInvalid, match="belong to another database"):
        check_same_installation(mistyped, artifacts)


def test_a_socket_path_too_long_for_unix_is_refused_with_a_way_out(tmp_path: Path, settings: Settings) -> None:
    long = settings.model_copy(update={"data_dir": tmp_path / ("d" * 120)})
    with pytest.raises(SettingsInvalid, match="shorter DATA_DIR"):
        start_broker(long)


def test_a_broker_with_known_holes_is_warned_of(
    doorbell: Doorbell, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", process="test")
    broker.ping()
    doorbell.tell_of_old_server()
    assert "broker_old" not in capsys.readouterr().err
    monkeypatch.setitem(versions.SERVERS, "valkey", ["999.0"])
    doorbell.tell_of_old_server()
    told = capsys.readouterr().err
    assert "broker_old" in told
    assert "valkey" in told


def test_a_broker_that_is_away_is_not_asked_for_its_version(doorbell: Doorbell) -> None:
    doorbell.tell_of_old_server()
