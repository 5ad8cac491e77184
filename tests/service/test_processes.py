"""Ending real child processes: politely once, then for good."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from service import processes

# Says that it listens by making its file, then notes each signal there; `stubborn` stays anyway.
CHILD = """
import pathlib, signal, sys, time
notes, stubborn = pathlib.Path(sys.argv[1]), sys.argv[2] == "stubborn"
asked = []
signal.signal(signal.SIGTERM, lambda *_: (asked.append(1), notes.write_text("x" * len(asked))))
notes.write_text("")
while stubborn or not asked:
    time.sleep(0.01)
time.sleep(0.5)
"""


def start_child(notes: Path, kind: str) -> subprocess.Popen[bytes]:
    child = processes.start([sys.executable, "-c", CHILD, str(notes), kind])
    deadline = time.monotonic() + 20
    while not notes.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child


def test_each_is_asked_once_and_the_stubborn_are_killed_when_the_one_grace_is_over(tmp_path: Path) -> None:
    polite = start_child(tmp_path / "polite", "polite")
    stubborn = [start_child(tmp_path / name, "stubborn") for name in ("first", "second")]
    began = time.monotonic()
    processes.end(polite, *stubborn, grace_seconds=2)
    assert time.monotonic() - began < 3.5  # not one grace after another
    assert polite.returncode == 0
    assert [child.returncode for child in stubborn] == [-signal.SIGKILL, -signal.SIGKILL]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"x"}
    processes.end(polite, *stubborn, grace_seconds=2)  # again is no error


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path) -> None:
    for name in ("worker", "service"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for command in (processes.python("worker.clock"), processes.dying_with_us(["true"])):
        assert subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=False).returncode == 0
    assert not (tmp_path / "canary").exists()
