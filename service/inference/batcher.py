"""The coat that `/predict` wears: texts of concurrent requests share forward passes.

No wait timer: whatever gathered while the engine was busy is planned next. Idle costs no delay,
load makes batches grow. (The idea is text-embeddings-inference's.)
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from service.errors import Overloaded
from service.inference.planning import plan_batches
from service.inference.predictions import Encoding, Scores
from service.logs import get_logger

log = get_logger(__name__)
WINDOW = 4_096  # texts looked at when a batch is planned


class Engine:
    """The one device thread, and the count of tokens that wait for it or are on it."""

    def __init__(self, max_batch_tokens: int, max_queued_tokens: int) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self.max_batch_tokens = max_batch_tokens
        self.max_queued_tokens = max_queued_tokens
        self.queued_tokens = 0

    def admit(self, tokens: int) -> None:
        """Takes all of a request or none of it. Raises: Overloaded."""
        if self.queued_tokens and self.queued_tokens + tokens > self.max_queued_tokens:
            raise Overloaded("too many texts are waiting; try again in a moment", retry_after=1)
        self.queued_tokens += tokens

    def release(self, tokens: int) -> None:
        self.queued_tokens -= tokens

    def close(self) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True, eq=False)
class _Entry:
    encoding: Encoding
    answer: asyncio.Future[Scores]


class Batcher:
    """Gathers the texts of one loaded model. Use from one event loop."""

    def __init__(self, forward: Callable[[Sequence[Encoding]], Scores], engine: Engine) -> None:
        self._forward = forward
        self._engine = engine
        self._waiting: list[_Entry] = []
        self._running: asyncio.Task[None] | None = None

    async def score(self, rows: Sequence[Encoding]) -> Scores:
        """Probabilities of shape (rows, labels). Raises: Overloaded at once when there is no room."""
        tokens = sum(len(row.ids) for row in rows)
        self._engine.admit(tokens)
        try:
            return await self._score_in_turns(rows)
        finally:
            self._engine.release(tokens)

    async def _score_in_turns(self, rows: Sequence[Encoding]) -> Scores:
        """One batch's worth at a time, so that a large request leaves room for small ones between its parts."""
        parts = plan_batches([len(row.ids) for row in rows], self._engine.max_batch_tokens)
        answers = [await self._queue([rows[index] for index in part]) for part in parts]
        scores: Scores = np.concatenate(answers)
        return scores[np.argsort(list(itertools.chain.from_iterable(parts)))]

    async def _queue(self, rows: Sequence[Encoding]) -> Scores:
        loop = asyncio.get_running_loop()
        entries = [_Entry(row, loop.create_future()) for row in rows]
        self._waiting.extend(entries)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return np.stack(await asyncio.gather(*(entry.answer for entry in entries)))

    async def _run(self) -> None:
        """Runs until nothing waits; a failed batch fails its own callers only."""
        while batch := self._next_batch():
            await self._answer(batch)

    def _next_batch(self) -> list[_Entry]:
        """The batch of like-length texts that holds the oldest entry; entries nobody awaits any more are dropped."""
        self._waiting = [entry for entry in self._waiting if not entry.answer.done()]
        window = self._waiting[:WINDOW]
        if not window:
            return []
        plan = plan_batches([len(entry.encoding.ids) for entry in window], self._engine.max_batch_tokens)
        chosen = next(batch for batch in plan if 0 in batch)
        taken = {id(window[index]) for index in chosen}
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        return [window[index] for index in chosen]

    async def _answer(self, batch: list[_Entry]) -> None:
        loop = asyncio.get_running_loop()
        error: Exception | None = None
        try:
            scores = await loop.run_in_executor(self._engine.thread, self._forward, [entry.encoding for entry in batch])
        except Exception as caught:  # whatever the model raises belongs to the callers of this batch
            log.exception("forward_failed", texts=len(batch))
            error = caught
        if error is None:
            for entry, row in zip(batch, scores, strict=True):
                if not entry.answer.done():
                    entry.answer.set_result(row)
        elif len(batch) > 1:  # find the text that did it: its neighbours deserve their answers
            middle = len(batch) // 2
            await self._answer(batch[:middle])
            await self._answer(batch[middle:])
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(error)
