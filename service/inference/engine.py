"""The one thread on which models compute: who may wait for it, for how long, and whether it still gets on."""

import asyncio
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.errors import DeviceLost, Overloaded, Unavailable
from service.inference.predictions import Encoding, Scores
from service.logs import get_logger

log = get_logger(__name__)
BEAT = 0.5  # seconds between two looks at the pass that is under way
SHORTEST_LIMIT = 3.0  # seconds that any pass may take: readiness turns within five
FIRST_LIMIT = 4.0  # seconds for a model whose pace is not known yet, and more for each token:
SLOWEST_PACE = 0.03  # seconds; a large model on one slow core took 0.02
GIVE_UP = 20.0  # seconds that a stuck thread is waited for before the process ends, to be started again
TOLD = 1.0  # seconds for the answers that a lost device leaves


@dataclass(slots=True, eq=False)
class Pass:
    """One forward pass. It counts as stuck after `limit` seconds on the device, in which the process was running."""

    limit: float
    given_up: asyncio.Future[None]
    silent: float = 0.0


class Engine:
    """The device thread, and what waits for it. Use from one event loop; `stuck` may be read from any thread."""

    def __init__(self, max_batch_tokens: int, max_queued_tokens: int, max_wait_seconds: float = 10.0) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self.max_batch_tokens = max_batch_tokens
        self.max_queued_tokens = max_queued_tokens
        self.max_wait_seconds = max_wait_seconds
        self.queued_tokens = 0
        self.seconds_in_line = 0.0  # what stands in line will take, by the pace of its models
        self._passes: deque[Pass] = deque()  # the first is under way
        self._lost = threading.Event()
        self._closed = threading.Event()

    def must_have_room(self) -> None:
        """Raises: Overloaded when a text that came now would wait for too long, Unavailable when it might for ever."""
        self.must_get_on()
        if self.seconds_in_line > self.max_wait_seconds:
            raise self.too_long()

    def must_get_on(self) -> None:
        """Raises: Unavailable when the thread is stuck; DeviceLost."""
        if self._lost.is_set():
            raise DeviceLost
        if self.stuck:
            raise _is_stuck()

    def too_long(self) -> Overloaded:
        after = max(1, math.ceil(self.seconds_in_line - self.max_wait_seconds / 2))
        return Overloaded(
            f"so many texts are waiting that yours would not be begun within {self.max_wait_seconds:g} s; "
            "try again when Retry-After says, and send fewer at once",
            retry_after=after,
        )

    def admit(self, tokens: int) -> None:
        """Takes all of a request or none of it. Raises: Overloaded, Unavailable."""
        self.must_have_room()
        if self.queued_tokens and self.queued_tokens + tokens > self.max_queued_tokens:
            raise Overloaded("too many texts are waiting; try again in a moment", retry_after=1)
        self.queued_tokens += tokens

    def release(self, tokens: int) -> None:
        self.queued_tokens -= tokens

    async def run(
        self, forward: Callable[[Sequence[Encoding]], Scores], rows: Sequence[Encoding], limit: float
    ) -> Scores:
        """One pass on the device thread. `limit`: seconds after which it counts as stuck.

        Raises: Unavailable when it, or one before it, is; whatever `forward` raises.
        """
        self.must_get_on()
        loop = asyncio.get_running_loop()
        this = Pass(limit, loop.create_future())
        self._passes.append(this)
        computed = loop.run_in_executor(self.thread, forward, rows)
        computed.add_done_callback(lambda done: self._ended(this, done))
        either: set[asyncio.Future[Any]] = {computed, this.given_up}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not computed.done():
            raise _is_stuck()
        return computed.result()

    def _ended(self, this: Pass, done: asyncio.Future[Scores]) -> None:
        self._passes.remove(this)
        this.given_up.cancel()
        if not done.cancelled() and isinstance(done.exception(), DeviceLost):
            self.lose_device()

    def lose_device(self) -> None:
        """From now on everybody is refused, and the process ends as soon as they have been told."""
        self._lost.set()

    @property
    def stuck(self) -> bool:
        """Whether the pass under way takes far longer than it should, or its thread is gone."""
        this = self._under_way()
        return this is not None and this.silent > this.limit

    def watch(self) -> None:
        """Starts the thread that ends this process when the device thread does not come back.

        Time is counted in beats of its own: a process that was paused, or a machine that slept, is not stuck.
        """
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()

    def close(self) -> None:
        """Waits for the pass under way, unless nothing can be expected of it."""
        self._closed.set()
        self.thread.shutdown(wait=not self.stuck, cancel_futures=True)

    def _under_way(self) -> Pass | None:
        try:
            return self._passes[0]
        except IndexError:
            return None

    def _watch(self) -> None:
        while not self._closed.wait(BEAT):
            if self._lost.is_set():
                log.critical("device_lost", status=os.EX_TEMPFAIL)
                self._closed.wait(TOLD)
                os._exit(os.EX_TEMPFAIL)  # another process gets another context
            if this := self._under_way():
                self._look_at(this)

    def _look_at(self, this: Pass) -> None:
        was_stuck = this.silent > this.limit
        this.silent += BEAT
        if this.silent > this.limit and not was_stuck:
            log.error("engine_stuck", seconds=this.silent, limit=round(this.limit, 1))
            this.given_up.get_loop().call_soon_threadsafe(self._give_up)
        if this.silent > this.limit + GIVE_UP:
            log.critical("engine_given_up", seconds=this.silent, status=os.EX_TEMPFAIL)
            os._exit(os.EX_TEMPFAIL)  # nothing else ends a process one of whose threads does not end

    def _give_up(self) -> None:
        """Whoever waits for a pass is told now, not by a connection that breaks."""
        for this in self._passes:
            if not this.given_up.done():
                this.given_up.set_result(None)


def _is_stuck() -> Unavailable:
    return Unavailable(
        "the thread that computes is stuck, and within a minute the service starts again by itself; try again then",
        code="engine_stuck",
        retry_after=30,
    )
