"""A run that takes all memory there is."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Deploy
from parts.deployment import Part

V1 = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
V2 = Path("/sys/fs/cgroup"), "memory.max", "memory.swap.max"
LIMIT = 700 * 2**20


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group with little memory and no swap."""
    root, limit, swap = V1 if V1[0].is_dir() else V2
    group = root / f"classiglot-{uuid.uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        _bound(group, limit, swap)
        yield group
    finally:
        group.rmdir()


def _bound(group: Path, limit: str, swap: str) -> None:
    try:
        (group / limit).write_text(str(LIMIT))
        if (group / swap).exists():  # else the kernel does not count it
            (group / swap).write_text("0" if swap == V2[2] else str(LIMIT))  # V1 counts memory too
    except OSError as error:
        pytest.skip(f"no control group can be bound here: {error}")


def put_into(group: Path, worker: Part) -> None:
    (group / "cgroup.procs").write_text(str(worker.pid))


@pytest.mark.parametrize("name", ["bomb", "bomb once"])
def test_a_run_out_of_memory_is_tried_once_more_with_half_the_batch(
    small_memory: Path, deploy: Deploy, name: str
) -> None:
    """B13: worker and run share a group of 700 MiB; the kernel ends the run, and spares the worker."""
    deployment = deploy()
    deployment.start_api()
    deployment.wait_for_api()
    worker = deployment.start_light_worker()
    put_into(small_memory, worker)
    job_id = deployment.submit(name=name, batch_size=16)
    deployment.wait_for(job_id, lambda job: job.finished_at, seconds=60)
    job = deployment.job(job_id)
    assert job.hyperparameters["batch_size"] == 8
    assert job.attempt == 2
    if name == "bomb":
        assert job.error is not None
        assert (job.status, job.error["code"]) == ("failed", "out_of_memory")
    else:
        assert (job.status, job.error) == ("succeeded", None)
    assert worker.alive()
    deployment.wait_for_status(deployment.submit(name="good"), "succeeded")
    deployment.parts.remove(worker)
    worker.stop()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in (small_memory / "cgroup.procs").read_text().split())
