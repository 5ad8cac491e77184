"""Disks that are full, and files that are not what was written."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from faults.conftest import Deploy
from faults.invariants import all_jobs
from parts.deployment import Deployment, runs_of, wait_until
from parts.finished_models import publish, withdraw_all
from service.store.artifacts import MANIFEST

pytestmark = pytest.mark.waits  # for runs, and for room; nothing here is timed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes file systems of so many MiB."""
    mounted: list[Path] = []

    def mount(mebibytes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes all room there is, to the last byte; delete the file to give it back."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        size = 1 << 16
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return ballast


def test_a_disk_that_is_full_while_a_checkpoint_is_written_is_waited_for(
    small_disk: Callable[[int], Path], deploy: Deploy
) -> None:
    """B21: the last checkpoint stays whole, nothing half-written is left, and the run goes on when there is room."""
    disk = small_disk(24)
    deployment = deploy(artifacts_url=disk)
    deployment.start_api()
    deployment.start_worker()
    deployment.wait_for_api()
    job_id = deployment.submit(num_epochs=100)
    deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 3)
    ballast = fill(disk)
    wait_until(lambda: b"checkpoint_waits_for_room" in deployment.log.read_bytes(), 20, deployment.tail)
    for whole in (disk / "checkpoints" / job_id).iterdir():
        deployment.artifacts.open("checkpoints", f"{job_id}/{whole.name}")
    answer = upload_to_full_disk(deployment, disk)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full")
    assert int(answer.headers["retry-after"]) > 0
    ballast.unlink()
    deployment.wait_for_status(job_id, "succeeded", 120)
    assert deployment.job(job_id).attempt == 1
    wait_until(lambda: list((disk / ".aside").iterdir()) == [], 5)  # what ends goes after its row


def upload_to_full_disk(deployment: Deployment, disk: Path) -> httpx.Response:
    """A few times, for the run that waits removes what it had half written and thereby makes room, each second."""
    for _ in range(5):
        fill(disk)
        answer = deployment.client.post(
            "/datasets", json={"name": "x", "train": {"Text": [*map(str, range(40))], "Labels": ["a", "b"] * 20}}
        )
        if answer.status_code != 201:
            break
    return answer


def test_a_disk_that_stays_full_fails_the_job_by_name_and_the_next_job_runs_when_there_is_room(
    small_disk: Callable[[int], Path], deploy: Deploy
) -> None:
    """B21, at the end of a run: the model does not fit."""
    disk = small_disk(24)
    deployment = deploy(artifacts_url=disk)
    deployment.start_api()
    worker = deployment.start_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    job_id = deployment.submit(dataset, num_epochs=20)
    deployment.wait_for(job_id, lambda job: job.progress["epoch"] >= 1)
    wait_until(lambda: "now evaluating" in deployment.messages(job_id), 30)
    (run,) = runs_of(worker)
    os.kill(run, signal.SIGSTOP)
    ballast = fill(disk)
    os.kill(run, signal.SIGCONT)
    deployment.wait_for_status(job_id, "failed")
    error = deployment.job(job_id).error
    assert error is not None
    assert error["code"] == "disk_full"
    ballast.unlink()
    wait_until(lambda: list((disk / ".aside").iterdir()) == [], 5)
    deployment.wait_for_status(deployment.submit(dataset), "succeeded")


def test_a_full_disk_under_the_database_refuses_and_heals(small_disk: Callable[[int], Path], deploy: Deploy) -> None:
    """B22: SQLite on a disk of 4 MiB, with a run under way."""
    disk = small_disk(4)
    deployment = deploy(f"sqlite:///{disk}/a.sqlite3", light_epoch_seconds=0.1, lease_seconds=20)
    deployment.start_api()
    deployment.start_light_worker()
    deployment.wait_for_api()
    dataset = deployment.upload()
    done = deployment.submit(dataset)
    deployment.wait_for_status(done, "succeeded")
    assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
    running = deployment.submit(dataset, num_epochs=80)
    deployment.wait_for(running, lambda job: job.progress["step"] > 2)
    acknowledged = {done, running}
    ballast = fill(disk)
    statuses = []
    for _ in range(200):
        answer = deployment.client.post("/jobs", json={"dataset_id": dataset})
        statuses.append(answer.status_code)
        if answer.status_code == 202:
            acknowledged.add(answer.json()["id"])
        else:
            assert answer.json()["error"]["code"] == "disk_full"
            assert int(answer.headers["retry-after"]) > 0
            break
    assert statuses[-1] == 503
    assert deployment.client.get(f"/jobs/{done}").status_code == 200
    assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
    time.sleep(2)
    ballast.unlink()
    wait_until(lambda: deployment.client.post("/jobs", json={"dataset_id": dataset}).status_code == 202, 10)
    deployment.wait_for_status(running, "succeeded")
    with deployment.database.read() as tx:
        assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert acknowledged <= {job.id for job in all_jobs(deployment)}


def test_a_full_disk_under_temporary_files_refuses_and_heals(small_disk: Callable[[int], Path], deploy: Deploy) -> None:
    """B22: bodies that are read as files wait there; those of JSON do not."""
    disk = small_disk(4)
    deployment = deploy(tmpdir=disk)
    deployment.start_api()
    deployment.wait_for_api()
    publish(deployment.database, deployment.artifacts, name="fruit")
    lines = b'{"text": "apple"}\n' * 200_000
    table = b"text,label\n" + b"an apple,a\n" * 200_000
    ballast = fill(disk)
    answers = [
        deployment.client.post("/predict", content=lines, headers={"Content-Type": "application/x-ndjson"}),
        deployment.client.post("/datasets", data={"name": "x"}, files={"train": ("train.csv", table)}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full"), answer.text
        assert int(answer.headers["retry-after"]) > 0
    assert deployment.client.post("/predict", json={"texts": ["apple"]}).status_code == 200
    ballast.unlink()
    few = {"Content-Type": "application/x-ndjson"}
    assert deployment.client.post("/predict", content=lines[: 1 << 16], headers=few).status_code == 200
    assert list(disk.iterdir()) == []
    withdraw_all(deployment.database)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES: list[Callable[[Path], None]] = [truncate, flip_a_bit, fill_with_zeros, Path.unlink]


def test_each_damage_to_each_file_of_a_model_is_named_and_the_version_before_serves(deploy: Deploy) -> None:
    """B23"""
    deployment = deploy()
    deployment.start_api()
    deployment.wait_for_api()
    good = publish(deployment.database, deployment.artifacts, val_loss=0.5)
    predict = {"texts": ["a dog"], "model": good.name}
    assert deployment.client.post("/predict", json=predict).json()["model"]["id"] == good.id
    bad = publish(deployment.database, deployment.artifacts, val_loss=0.1, seed=1)
    folder = deployment.artifacts.path("models", bad.id)
    refused = 0
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for damage in DAMAGES:
            damage(path)
            answer = deployment.client.post("/predict", json={"texts": ["a dog"], "model": bad.id})
            assert answer.json()["error"]["code"] == "artifact_corrupt", (path, damage, answer.text)
            # a manifest may still be read, and then others are not as it says; without one nothing is stored there
            assert path.name in answer.json()["error"]["message"] or path.name == MANIFEST
            path.unlink(missing_ok=True)
            path.write_bytes(whole)
            refused += 1
    flip_a_bit(folder / "model.safetensors")
    assert deployment.client.post("/predict", json=predict).json()["model"]["id"] == good.id
    (folder / "model.safetensors").unlink()
    print(f"B23: {refused} damages, each refused")
    withdraw_all(deployment.database)
