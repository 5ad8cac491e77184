"""Processes of runs that are started ahead of their jobs. Each is real, but trains nothing."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import worker.process
from parts.deployment import ROOT, is_alive, running, wait_until
from service import processes
from worker import spare
from worker.process import TrainingProcess
from worker.spare import RunProcesses

LONG_ENOUGH = 1.0  # seconds, for a process that must not be started, or not be ended, to have been


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker.process, "PROGRAM", "parts.light_run")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    yield
    assert started() == []


@pytest.fixture
def kept() -> Iterator[RunProcesses]:
    kept = RunProcesses()
    kept.keep_one_ready()
    yield kept
    kept.close()


def started() -> list[int]:
    """Those of ours that live."""
    own = str(os.getpid()).encode()
    return [pid for pid, words, _ in running() if {b"parts.light_run", own} <= set(words.split(b"\0"))]


def the_waiting_one() -> int:
    wait_until(lambda: len(started()) == 1, 10, started)
    return started()[0]


def test_a_run_gets_the_process_that_waits_and_the_next_one_is_started_when_it_is_over(kept: RunProcesses) -> None:
    first = the_waiting_one()
    with kept.process() as process:
        assert process.pid == first
        time.sleep(LONG_ENOUGH)
        assert process.alive()
        assert started() == [first]
    assert not is_alive(first)
    assert the_waiting_one() != first


def test_beside_a_run_that_ends_soon_the_next_one_gets_ready(kept: RunProcesses) -> None:
    the_waiting_one()
    with kept.process() as process:
        kept.ends_soon(process)
        wait_until(lambda: len(started()) == 2, 10, started)
        time.sleep(LONG_ENOUGH)
        (next_one,) = set(started()) - {process.pid}
    with kept.process() as process:
        assert process.pid == next_one
        time.sleep(LONG_ENOUGH)
        assert started() == [next_one]


def test_none_gets_ready_where_another_run_goes_on_or_after_closing(kept: RunProcesses) -> None:
    the_waiting_one()
    with kept.process() as one, kept.process() as another:
        kept.ends_soon(one)
        time.sleep(LONG_ENOUGH)
        assert sorted(started()) == sorted([one.pid, another.pid])
        kept.close()
        kept.ends_soon(another)
        time.sleep(LONG_ENOUGH)
        assert sorted(started()) == sorted([one.pid, another.pid])


def test_at_most_one_waits(kept: RunProcesses) -> None:
    first = the_waiting_one()
    with kept.process() as one, kept.process() as another:
        assert one.pid == first
        assert sorted(started()) == sorted([one.pid, another.pid])
    the_waiting_one()
    time.sleep(LONG_ENOUGH)
    assert len(started()) == 1


def test_one_that_died_meanwhile_is_replaced_before_it_costs_a_job_an_attempt(kept: RunProcesses) -> None:
    first = the_waiting_one()
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # it has no words before its parent can be told of its end
    with capture_logs() as logs, kept.process() as process:
        assert process.alive()
        assert process.pid != first
    assert [entry["event"] for entry in logs] == ["spare_run_ended"]


def test_one_that_could_not_be_started_keeps_nobody_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> TrainingProcess:
        raise BlockingIOError("Resource temporarily unavailable")

    kept = RunProcesses()
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(spare, "TrainingProcess", fail)
        kept.keep_one_ready()
        wait_until(lambda: logs, 10)
    assert [entry["event"] for entry in logs] == ["spare_run_not_started"]
    with kept.process() as process:
        assert started() == [process.pid]
    assert the_waiting_one() != process.pid
    kept.close()


def test_without_keeping_there_is_none_ahead() -> None:
    kept = RunProcesses()
    time.sleep(LONG_ENOUGH)
    assert started() == []
    with kept.process() as process:
        assert started() == [process.pid]
    time.sleep(LONG_ENOUGH)
    assert started() == []


def test_closing_ends_the_one_that_waits(kept: RunProcesses) -> None:
    waiting = the_waiting_one()
    kept.close()
    assert not is_alive(waiting)
    time.sleep(LONG_ENOUGH)
    assert started() == []


def test_closing_ends_no_run_not_even_one_whose_process_was_started_ahead(kept: RunProcesses) -> None:
    first = the_waiting_one()
    with kept.process() as run:
        kept.close()
        time.sleep(LONG_ENOUGH)
        assert run.pid == first
        assert run.alive()
    time.sleep(LONG_ENOUGH)
    assert started() == []


def test_a_process_that_gets_no_order_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.process, "PROGRAM", "worker.child")
    process = TrainingProcess()
    assert process._process.stdin is not None
    process._process.stdin.close()
    assert process._process.wait(60) == 1
    process.kill()
    assert list(process._tail) == []


def test_runs_are_nicer_than_who_answers(tmp_path: Path) -> None:
    told = tmp_path / "niceness"
    program = f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.nice(0)))"
    processes.start([sys.executable, "-c", program]).wait(30)
    ours = int(told.read_text())
    with RunProcesses().process() as process:
        words = Path(f"/proc/{process.pid}/cmdline")
        # by then it is the program itself, not its launcher; in between it has no words at all
        wait_until(lambda: b"parts.light_run" in words.read_bytes().split(b"\0")[3:4], 10)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(ours + worker.process.NICENESS, 19)
