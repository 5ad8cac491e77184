"""The processes of runs, one of them started before there is a job for it.

Importing torch and the rest takes longer than everything else between a job and its first step. While a worker trains
nothing one process does it already, and then waits for its order.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.logs import get_logger
from worker.process import TrainingProcess

log = get_logger(__name__)


class RunProcesses:
    """At most one waits, and none is started while a run is under way that does not end soon. Until `keep_one_ready`
    there is none ahead."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: TrainingProcess | None = None
        self._runs = 0
        self._ending: set[TrainingProcess] = set()
        self._closed = False

    def keep_one_ready(self) -> None:
        """Starts one now, and the next when no run is left that goes on, until `close`. One that dies before its turn
        is replaced when a run asks for it: what killed it may do so again."""
        threading.Thread(target=self._keep, name="spare-run", daemon=True).start()

    def close(self) -> None:
        """Ends the one that waits, and no run. None is started ahead any more."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, None
            self._changed.notify_all()
        if waiting is not None:
            waiting.kill()

    @contextmanager
    def process(self) -> Iterator[TrainingProcess]:
        """The process of one run: the one that waits if it still lives, else a new one. Dead at the end."""
        with self._changed:
            waiting, self._waiting = self._waiting, None
            self._runs += 1
        process = None
        try:
            process = _alive(waiting) or TrainingProcess()
            yield process
        finally:
            try:
                if process is not None:
                    process.kill()
            finally:
                with self._changed:
                    self._runs -= 1
                    self._ending -= {process}
                    self._changed.notify_all()

    def ends_soon(self, process: TrainingProcess) -> None:
        """The next one may be started beside this run, which trains no more."""
        with self._changed:
            self._ending.add(process)
            self._changed.notify_all()

    def _keep(self) -> None:
        """In a thread of its own, which outlives each process that it started: Linux ends a child with the thread that
        is its parent, not with the process."""
        with self._changed:
            while self._runs or not self._closed:
                if not self._closed and self._waiting is None and self._runs == len(self._ending):
                    self._waiting = _start_ahead()
                self._changed.wait()


def _start_ahead() -> TrainingProcess | None:
    try:
        return TrainingProcess()
    except (OSError, RuntimeError):  # no process or thread to be had; a run that finds none either says so
        log.warning("spare_run_not_started", exc_info=True)
        return None


def _alive(waiting: TrainingProcess | None) -> TrainingProcess | None:
    if waiting is None or waiting.alive():
        return waiting
    log.warning("spare_run_ended", how=waiting.how_it_ended())
    waiting.kill()
    return None
