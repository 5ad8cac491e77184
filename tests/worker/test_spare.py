"""Processes of runs that are started ahead of their jobs, real ones: a script stands in for Python."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parts.deployment import is_alive, wait_until
from worker.process import TrainingProcess
from worker.spare import SpareProcess

LONG_ENOUGH = 0.5  # seconds, for a process that must not be started to have been


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A file with the process id of each process that was started, a line each."""
    program, pids = tmp_path / "program", tmp_path / "pids"
    program.write_text(f"#!/bin/sh\necho $$ >> {pids}\nread order\n")
    program.chmod(0o700)
    pids.touch()
    monkeypatch.setattr(sys, "executable", str(program))
    yield pids
    assert not any(map(is_alive, pids_in(pids)))


@pytest.fixture
def kept() -> Iterator[SpareProcess]:
    processes = SpareProcess()
    processes.keep()
    yield processes
    processes.close()


def pids_in(started: Path) -> list[int]:
    return [int(line) for line in started.read_text().split()]


def wait_for(number: int, started: Path) -> int:
    """The process id of the process with that number, from 1 on, once it has begun to wait for its order."""
    wait_until(lambda: len(pids_in(started)) >= number, 10)
    return pids_in(started)[number - 1]


def test_a_run_gets_the_process_that_waits_and_the_next_one_is_started_when_it_is_over(
    started: Path, kept: SpareProcess
) -> None:
    first = wait_for(1, started)
    with kept.process() as process:
        assert process.pid == first
        assert process.alive()
        time.sleep(LONG_ENOUGH)
        assert pids_in(started) == [first]
    assert not is_alive(first)
    assert wait_for(2, started) != first


def test_at_most_one_waits(started: Path, kept: SpareProcess) -> None:
    wait_for(1, started)
    time.sleep(LONG_ENOUGH)
    assert len(pids_in(started)) == 1
    with kept.process() as one, kept.process() as another:
        assert [one.pid, another.pid] == [pids_in(started)[0], wait_for(2, started)]
    wait_for(3, started)
    time.sleep(LONG_ENOUGH)
    assert len(pids_in(started)) == 3


def test_one_that_died_meanwhile_is_replaced_before_it_costs_a_job_an_attempt(
    started: Path, kept: SpareProcess
) -> None:
    first = wait_for(1, started)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), 10)
    with kept.process() as process:
        assert process.pid == wait_for(2, started)
        assert process.alive()


def test_without_keeping_there_is_none(started: Path) -> None:
    processes = SpareProcess()
    time.sleep(LONG_ENOUGH)
    assert pids_in(started) == []
    with processes.process() as process:
        assert process.pid == wait_for(1, started)
    processes.close()


def test_closing_ends_the_one_that_waits_and_no_run(started: Path, kept: SpareProcess) -> None:
    with kept.process() as run:
        wait_for(1, started)
        kept.close()
        assert run.alive()
    again = SpareProcess()
    again.keep()
    waiting = wait_for(2, started)
    again.close()
    assert not is_alive(waiting)


def test_a_process_that_gets_no_order_ends_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    process = TrainingProcess()
    assert process._process.stdin is not None
    process._process.stdin.close()
    assert process._process.wait(60) == 1
    process.kill()
    assert capfd.readouterr().err == ""
