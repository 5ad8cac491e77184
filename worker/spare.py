"""The process of the next run, started before there is a job for it.

Importing torch and the rest takes longer than everything else between a job and its first step. While a worker has
nothing to do one process has done it already, and waits for its order.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.process import TrainingProcess


class SpareProcess:
    """At most one process ahead, and none while a run is under way. Until `keep` is called there never is one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._process: TrainingProcess | None = None
        self._runs = 0
        self._closed = False
        self._keeper = threading.Thread(target=self._keep, name="spare-run", daemon=True)

    def keep(self) -> None:
        """Has one wait whenever nothing runs, until `close`."""
        self._keeper.start()

    def close(self) -> None:
        """Ends the one that waits. Runs under way are none of its business."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._keeper.is_alive():
            self._keeper.join()

    @contextmanager
    def process(self) -> Iterator[TrainingProcess]:
        """The process of one run: the one that waits if it still lives, else a new one. Dead at the end."""
        with self._changed:
            process, self._process = self._process, None
            self._runs += 1
        try:
            if process is not None and not process.alive():
                process.kill()
                process = None
            process = process or TrainingProcess()
            try:
                yield process
            finally:
                process.kill()
        finally:
            with self._changed:
                self._runs -= 1
                self._changed.notify_all()

    def _keep(self) -> None:
        # Starts the process itself: Linux ends a child with the thread that started it, and this one stays.
        with self._changed:
            while not self._closed:
                if self._runs == 0 and self._process is None:
                    self._process = TrainingProcess()
                self._changed.wait()
            if self._process is not None:
                self._process.kill()
