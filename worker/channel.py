"""What supervisor and training run say to each other: one JSON line a message, over the run's own pipes.

supervisor → run   the order (first line), later perhaps "stop"; end of file means: exit now
run → supervisor   {"kind": "phase" | "note" | "hyperparameters" | "progress" | "epoch" | "pulse", …},
                   and last {"kind": "succeeded" | "failed" | "stopped", …}
"""

import json
import os
import sys
import threading
from typing import Any, Protocol, TextIO

from pydantic import BaseModel, ConfigDict

from service.jobs.spec import ResolvedHyperparameters
from service.settings import Settings
from service.store.records import Task

STOP = "stop"
OUT_OF_MEMORY = "out_of_memory"  # the one failure that is tried again, with half the batch


class Order(BaseModel):
    """Everything a run needs to know. It holds no address of a database or broker, and so no secret."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    attempt: int
    model_id: str  # of what it is to publish: so whoever ends the run knows what it may leave behind
    dataset_id: str
    dataset_sha256: str
    task: Task
    labels: list[str]
    base_model: str
    hyperparameters: ResolvedHyperparameters
    settings: Settings
    name: str = ""
    test_scored_before: int = 0


class Supervision(Protocol):
    """What a run needs of its supervisor."""

    stop_asked: threading.Event

    def send(self, kind: str, **content: Any) -> None: ...


class Channel:
    """The run's end of the pipes."""

    def __init__(self) -> None:
        # What libraries print must not get between the messages: give them standard error instead.
        self._out: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        self.stop_asked = threading.Event()

    def receive_order(self) -> Order:
        """Waits for the order, then listens for a stop, and for the supervisor's end, which ends this process too."""
        if not (line := sys.stdin.readline()):
            os._exit(1)
        order = Order.model_validate_json(line)
        threading.Thread(target=self._listen, daemon=True).start()
        return order

    def send(self, kind: str, **content: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({"kind": kind, **content}) + "\n")
            self._out.flush()

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == STOP:
                self.stop_asked.set()
        os._exit(1)  # the supervisor is gone: whatever this run would write, nobody may have any more
