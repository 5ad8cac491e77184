"""The training run as the supervisor sees it: a child process with a pipe in each direction."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

from service import processes
from service.logs import get_logger
from service.store.records import Json
from worker.channel import STOP, Order

log = get_logger(__name__)
PROGRAM = "worker.child"
NICENESS = 10  # answers come before training where both share a machine
RUN_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers would ask a remote service to convert other weights
    "TOKENIZERS_PARALLELISM": "true",
}
# OpenMP's threads spin for each other by default. Where anything else runs on the cores that is ruinous (a step of
# 1.2 s did not end in 60 s beside one busy process); where nothing does, falling asleep at once costs a quarter. A
# step took 291 ms alone and 521 beside one busy process like this, 339 and 426 with 1,000, 272 and 682 with 10,000.
# OpenBLAS, which NumPy and scikit-learn bring, spins too and gets small matrices only: a logistic regression on 200
# rows took 0.6 s of two processors, and takes 0.01 s of one, with bit for bit the same weights.
THREADS_ENVIRONMENT = {"GOMP_SPINCOUNT": "4000", "OPENBLAS_NUM_THREADS": "1"}
TAIL_LINES = 20


class TrainingProcess:
    """Started at once, to wait for its order; its messages wait in a queue until asked for."""

    def __init__(self) -> None:
        # by way of the launcher: importing torch takes seconds, in which a supervisor may die as well
        self._process = subprocess.Popen(
            processes.dying_with_us(processes.python(PROGRAM, str(os.getpid())), NICENESS),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            env=THREADS_ENVIRONMENT | processes.without_secrets() | RUN_ENVIRONMENT,
        )
        self._log = log
        self._kills_before = 0
        self._messages: queue.Queue[Json] = queue.Queue()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_messages, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_words, args=(self._process.stderr,), daemon=True),
        ]
        self._words: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # A thread of its own: a run that does not listen yet, or ever, must not hold its supervisor.
        self._writer = threading.Thread(target=self._write_words, args=(self._process.stdin,), daemon=True)
        self._writer.start()
        for reader in self._readers:
            reader.start()

    def begin(self, order: Order) -> None:
        """Sends it to work. To be called once."""
        self._log = log.bind(job_id=order.job_id, attempt=order.attempt)
        self._kills_before = _out_of_memory_kills()
        self._say(order.model_dump_json(exclude={"settings": {"database_url", "broker_url"}}))

    def next_message(self, timeout_seconds: float) -> Json | None:
        """The next message, or None when none came in time."""
        try:
            return self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def alive(self) -> bool:
        return self._process.poll() is None

    def ended(self) -> bool:
        """Whether the process is gone and everything that it said has been taken."""
        return not self.alive() and not self._readers[0].is_alive() and self._messages.empty()

    def ask_to_stop(self) -> None:
        """Asks for a checkpoint and an end at the next step."""
        self._say(STOP)

    def end(self) -> None:
        """Ends the process and whatever it started, at once; any thread may call it."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):  # another thread has just seen its end
                os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """The same, then waits for it and closes its pipes; again is no error."""
        self.end()
        self._process.wait()
        self._words.put(None)
        for thread in (self._writer, *self._readers):
            thread.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # closing sends what a dead run did not take any more
                    pipe.close()

    def how_it_ended(self) -> str:
        """For people: the exit status, and the last words."""
        status = self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        hint = ", because the machine's memory ran out" if self.was_out_of_memory() else ""
        last = f"; its last words: {self._tail[-1][:300]}" if self._tail else ""
        return f"the training run {how}{hint}{last}"

    def was_out_of_memory(self) -> bool:
        """Whether the kernel killed it for want of memory. The kernel counts for the whole machine, so that a kill by
        hand passes for it if another process ran out of memory meanwhile."""
        return self._process.wait() == -signal.SIGKILL and _out_of_memory_kills() > self._kills_before

    @property
    def pid(self) -> int:
        return self._process.pid

    def _say(self, line: str) -> None:
        self._words.put(line + "\n")

    def _write_words(self, stream: IO[str]) -> None:
        for line in iter(self._words.get, None):
            try:
                stream.write(line)
                stream.flush()
            except (BrokenPipeError, ValueError):
                return  # it is gone, or `kill` has closed the pipe; `ended` will tell

    def _read_messages(self, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith("{") and line.endswith("\n"):
                self._messages.put(json.loads(line))
            elif line.endswith("\n"):  # else the run was killed in the middle of a word
                self._note(line)

    def _read_words(self, stream: IO[str]) -> None:
        """Passes the run's log lines on, makes such of its other words, and remembers the last."""
        for line in filter(str.strip, stream):
            self._tail.append(line.strip())
            if line.startswith("{"):
                sys.stderr.write(line)
            else:
                self._note(line)

    def _note(self, line: str) -> None:
        """What a library says, or the interpreter as it dies, becomes a log line like any other."""
        self._log.warning("run_said", words=line.strip())


def _out_of_memory_kills() -> int:
    """How many processes of this machine the kernel has killed for want of memory; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
