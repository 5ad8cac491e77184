"""Runs that die at awkward moments. Each is a real process: a program that stands in for Python."""

import shlex
import sys
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from parts.runs import make_order, store_toy_dataset
from service.settings import Settings
from service.store.database import Database
from worker.channel import Order
from worker.process import TrainingProcess


@pytest.fixture
def order(settings: Settings, sqlite: Database) -> Order:
    return make_order(settings, store_toy_dataset(settings, sqlite), "roberta-base")


def run_as(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


def started(order: Order) -> TrainingProcess:
    process = TrainingProcess()
    process.begin(order)
    return process


def wait_for_the_end(process: TrainingProcess) -> None:
    process._process.wait(30)
    for reader in process._readers:
        reader.join(30)
        assert not reader.is_alive()


def test_a_run_that_dies_with_a_word_to_it_on_the_way_is_cleared_away_like_any_other(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_as(monkeypatch, tmp_path, "kill -ABRT $$")
    process = started(order)
    wait_for_the_end(process)
    process.ask_to_stop()  # stays in the pipe's buffer, which closing would send
    assert process.ended()
    assert "SIGABRT" in process.how_it_ended()
    process.kill()
    assert all(pipe is not None and pipe.closed for pipe in (process._process.stdout, process._process.stderr))
    process.kill()  # again is no error


def test_what_a_library_says_becomes_a_log_line_and_log_lines_stay_as_they_are(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = "UserWarning: odd data ${jndi:ldap://x} \\033[2J"
    script = (
        f"""read order; echo odd; echo '{{"kind": "note"}}'; echo '{{"event": "own"}}' >&2; printf '{words}\n' >&2"""
    )
    run_as(monkeypatch, tmp_path, f"{script}; exit 3")
    with capture_logs() as logs:
        process = started(order)
        wait_for_the_end(process)
    assert process.next_message(1) == {"kind": "note"}  # what a library prints there is no message
    assert sorted(entry["words"] for entry in logs) == ["UserWarning: odd data ${jndi:ldap://x} \x1b[2J", "odd"]
    assert logs[0]["job_id"] == order.job_id
    assert capfd.readouterr().err == '{"event": "own"}\n'
    assert "UserWarning" in process.how_it_ended()
    process.kill()


def test_a_run_that_does_not_listen_holds_nobody(order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However long its order is: a pipe takes 64 kB unread."""
    run_as(monkeypatch, tmp_path, "sleep 60")
    began = time.monotonic()
    process = started(order.model_copy(update={"labels": [f"{number:0100}" for number in range(1000)]}))
    process.ask_to_stop()
    process.kill()
    assert time.monotonic() - began < 10
    assert not process._writer.is_alive()


def test_a_message_that_was_cut_off_by_a_kill_is_no_message(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_as(monkeypatch, tmp_path, """read order; echo '{"kind": "note"}'; printf '{"kind": "pro'; kill -KILL $$""")
    process = started(order)
    wait_for_the_end(process)
    assert process.next_message(1) == {"kind": "note"}
    assert process.ended()
    process.kill()


LOSES_THE_GPU = """
import sys, torch
from worker import run
from worker.training.gradients import Gradients

def of(self, batch):
    raise {error}

Gradients.of = of
sys.exit(run.main())
"""


@pytest.mark.parametrize(
    "error",
    [
        "torch.AcceleratorError('CUDA error: device-side assert triggered')",
        "RuntimeError('CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm')",
    ],
)
def test_a_run_whose_gpu_is_lost_says_so_and_ends_as_one_that_is_to_be_tried_again(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str
) -> None:
    code = tmp_path / "loses_the_gpu.py"
    code.write_text(LOSES_THE_GPU.format(error=error))
    run_as(monkeypatch, tmp_path, f"exec {shlex.quote(sys.executable)} {shlex.quote(str(code))}")
    process = started(order)
    wait_for_the_end(process)
    messages = []
    while (message := process.next_message(1)) is not None:
        messages.append(message)
    assert [own["kind"] for own in messages if own["kind"] in ("failed", "succeeded")] == []
    assert messages[-1] == {"kind": "note", "level": "error", "message": messages[-1]["message"]}
    assert "the GPU stopped working" in messages[-1]["message"]
    assert "ended with status 75" in process.how_it_ended()
    process.kill()
