"""A claim's lease as its holder sees it: renewed in good time, or the run is ended before any other may begin."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.logs import get_logger

log = get_logger(__name__)
LONGEST_BEAT = 2.0  # seconds between looks at the lease and at the wish to cancel
SAFE_SHARE = 0.8  # of the lease; what is left covers the end of the run


class Lease:
    """Make it before the claim is sent: the database counts from a later moment, so this one never ends after it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.beat = min(LONGEST_BEAT, seconds / 6)
        self._renewed = time.monotonic()
        self._ended = False

    def due(self) -> bool:
        return time.monotonic() - self._renewed >= self.beat

    def renewed(self, asked_at: float) -> None:
        """`asked_at`: when the renewal was sent, by the monotonic clock."""
        self._renewed = asked_at

    def over(self) -> bool:
        """Whether it is no longer sure that the job is ours; once true, true for good."""
        self._ended = self._ended or time.monotonic() - self._renewed > self.seconds * SAFE_SHARE
        return self._ended

    @contextmanager
    def guarding(self, end_run: Callable[[], None], **told: object) -> Iterator[None]:
        """Calls `end_run` when the lease is over, whatever the thread of the block waits for; `told` is logged then.

        That thread may hang in a call to a database that neither answers nor refuses.
        """
        done = threading.Event()

        def guard() -> None:
            while not done.wait(self.beat / 4):
                if self.over():
                    log.warning("lease_not_renewed_in_time", seconds=self.seconds, **told)
                    end_run()
                    return

        threading.Thread(target=guard, name="lease", daemon=True).start()
        try:
            yield
        finally:
            done.set()
