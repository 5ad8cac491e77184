"""`classiglot up` looks after its parts: what ends by itself is started again, unless that goes on and on."""

import contextlib
import os
import signal
from pathlib import Path

from parts.deployment import is_ready, running, wait_until
from parts.system import Up
from parts.toy_text import choosing, columns

PARTS = {"broker": "-server", "service": "service.cli api", "worker": "-m worker"}


def pid_of(up: Up, part: str) -> int | None:
    """Of the part itself, not of processes that it started; None where there is none just now."""
    for pid, words, _ in running():
        with contextlib.suppress(OSError):  # it has ended since
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if parent == up.process.pid and PARTS[part] in words.replace(b"\0", b" ").decode():
                return pid
    return None


def kill(up: Up, part: str) -> None:
    """With SIGKILL, and waits for the next one."""
    before = kill_once(up, part)
    wait_until(lambda: pid_of(up, part) not in (None, before), 20, up.log.read_text)


def kill_once(up: Up, part: str) -> int:
    """Returns the number of the process that is no more."""
    pid = pid_of(up, part)
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_each_part_that_ends_is_started_again_and_jobs_run_as_before(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    try:
        for part in PARTS:
            kill(up, part)
        wait_until(lambda: is_ready(up.client), 30, up.log.read_text)
        dataset = up.client.post("/datasets", json={"name": "toys", "train": columns(*choosing(60))}).json()
        asked = {"dataset_id": dataset["id"], "base_model": "bundled/multilingual-small"}
        job = up.client.post("/jobs", json=asked).json()
        wait_until(lambda: up.client.get(f"/jobs/{job['id']}").json()["status"] == "running", 60, up.log.read_text)
        log = up.log.read_text()
        assert all(f'"part": "{part}"' in log for part in PARTS), log
    finally:
        assert up.stop() == 0
    assert up.processes() == []


def test_a_part_that_ends_over_and_over_ends_the_system_with_a_reason(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    try:
        for _ in range(5):
            kill(up, "service")
        kill_once(up, "service")
        assert up.process.wait(60) == 1
        assert "the service keeps ending (status -9); its log above says why" in up.log.read_text()
    finally:
        up.kill()
    assert up.processes() == []
