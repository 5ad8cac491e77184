"""The coat that `/predict` wears: texts of concurrent requests share forward passes.

No wait timer: whatever gathered while the engine was busy is planned next. Idle costs no delay,
load makes batches grow. (The idea is text-embeddings-inference's.)
"""

import asyncio
import contextvars
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import ClassiglotError, Detail, InferenceFailed, Unavailable
from service.inference.engine import FIRST_LIMIT, SHORTEST_LIMIT, SLOWEST_PACE, Engine
from service.inference.planning import plan_batches
from service.inference.predictions import Encoding, Scores
from service.logs import get_logger

log = get_logger(__name__)
WINDOW = 4_096  # texts looked at when a batch is planned
PATIENCE = 10.0  # a pass counts as stuck after so many times what the pace lets expect
MEMORY = 0.8  # share of what is known of the pace that outlives a pass


class Pace:
    """Seconds a token takes, of late. Weighted by tokens, for it is asked when many wait and batches are large.

    `pass_tokens`: what a pass costs beside its tokens, as tokens. Without it a GPU, which takes as long for one text as
    for a hundred, would seem a hundred times slower after single texts, and refuse what it has room for.
    """

    def __init__(self, pass_tokens: float) -> None:
        self._pass_tokens = pass_tokens
        self._seconds = self._tokens = 0.0

    def note(self, tokens: int, seconds: float) -> None:
        self._seconds = MEMORY * self._seconds + seconds
        self._tokens = MEMORY * self._tokens + tokens + self._pass_tokens

    def expect(self, tokens: int) -> float:
        """Seconds of a pass over so many; 0 while nothing is known."""
        return (tokens + self._pass_tokens) * self._seconds / self._tokens if self._tokens else 0.0

    def limit(self, tokens: int) -> float:
        """Seconds after which a pass is stuck."""
        if not self._tokens:
            return FIRST_LIMIT + SLOWEST_PACE * tokens
        return max(SHORTEST_LIMIT, PATIENCE * self.expect(tokens))


@dataclass(slots=True, eq=False)
class _Entry:
    encoding: Encoding
    begin_by: float  # by the loop's clock
    answer: asyncio.Future[Scores]


class Batcher:
    """Gathers the texts of one loaded model. Use from one event loop."""

    def __init__(
        self, forward: Callable[[Sequence[Encoding]], Scores], engine: Engine, pass_tokens: float = math.inf
    ) -> None:
        """`pass_tokens`: what a pass costs beside its tokens, so no batch has more padding (see `plan_batches`);
        infinite where that is not known."""
        self._forward = forward
        self._engine = engine
        self._pass_tokens = pass_tokens
        self._pace = Pace(pass_tokens if math.isfinite(pass_tokens) else 0)
        self._waiting: list[_Entry] = []
        self._running: asyncio.Task[None] | None = None

    async def score(self, rows: Sequence[Encoding]) -> Scores:
        """Probabilities of shape (rows, labels). Raises: as `score_each`; InferenceFailed that names the rows."""
        answers = await self.score_each(rows)
        failed = [row for row, answer in enumerate(answers) if isinstance(answer, InferenceFailed)]
        if failed:
            raise InferenceFailed(
                f"the model could not compute text {failed[0]}; leave it out, and tell the operator: the log says why",
                details=[Detail("could not be computed", row=row, field="texts") for row in failed[:100]],
            )
        return np.stack([answer for answer in answers if not isinstance(answer, InferenceFailed)])

    async def score_each(self, rows: Sequence[Encoding]) -> list[Scores | InferenceFailed]:
        """For each row its probabilities, of shape (labels,), or why there are none.

        Raises: Overloaded, at once when there is no room, or when no pass could be begun in time; Unavailable.
        """
        tokens = sum(len(row.ids) for row in rows)
        self._engine.admit(tokens)
        try:
            return await self._in_turns(rows)
        finally:
            self._engine.release(tokens)

    async def _in_turns(self, rows: Sequence[Encoding]) -> list[Scores | InferenceFailed]:
        """One batch's worth at a time, so that a large request leaves room for small ones between its parts.

        The first must begin in time; what has begun is finished.
        """
        parts = self._plan(rows)
        begin_by = asyncio.get_running_loop().time() + self._engine.max_wait_seconds
        answers: list[Scores | InferenceFailed] = []
        for part in parts:
            answers += await self._queue([rows[index] for index in part], begin_by)
            begin_by = math.inf
        order = np.argsort(list(itertools.chain.from_iterable(parts)))
        return [answers[place] for place in order]

    def _plan(self, rows: Sequence[Encoding]) -> list[list[int]]:
        return plan_batches([len(row.ids) for row in rows], self._engine.max_batch_tokens, self._pass_tokens)

    async def _queue(self, rows: Sequence[Encoding], begin_by: float) -> list[Scores | InferenceFailed]:
        loop = asyncio.get_running_loop()
        entries = [_Entry(row, begin_by, loop.create_future()) for row in rows]
        self._waiting.extend(entries)
        if self._running is None or self._running.done():
            # an empty context: its log lines are of whatever it computes, not of the request that started it
            self._running = loop.create_task(self._run(), context=contextvars.Context())
        seconds = self._pace.expect(sum(len(row.ids) for row in rows))
        self._engine.seconds_in_line += seconds
        try:
            answers = await asyncio.gather(*(entry.answer for entry in entries), return_exceptions=True)
        finally:
            self._engine.seconds_in_line -= seconds
        return [_answer_or_raise(answer) for answer in answers]

    async def _run(self) -> None:
        """Runs until nothing waits. Whatever happens, nobody is left waiting for a loop that has ended."""
        batch: list[_Entry] = []
        try:
            while batch := self._next_batch():
                await self._answer(batch)
        except Exception:
            log.exception("batch_loop_failed", texts=len(batch) + len(self._waiting))
            for entry in (*batch, *self._waiting):
                _fail(entry, InferenceFailed("the batch of this text could not be made"))

    def _next_batch(self) -> list[_Entry]:
        """The batch of like-length texts that holds the oldest entry; entries nobody awaits any more are dropped."""
        now = asyncio.get_running_loop().time()
        for entry in self._waiting:
            if entry.begin_by < now:
                _fail(entry, self._engine.too_long())
        self._waiting = [entry for entry in self._waiting if not entry.answer.done()]
        window = self._waiting[:WINDOW]
        if not window:
            return []
        plan = self._plan([entry.encoding for entry in window])
        chosen = next(batch for batch in plan if 0 in batch)
        taken = {id(window[index]) for index in chosen}
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        return [window[index] for index in chosen]

    async def _answer(self, batch: list[_Entry]) -> None:
        """A batch that fails is halved until the text is found that did it: its neighbours deserve their answers."""
        scores: Scores | None = None
        try:
            scores = await self._compute(batch)
        except Unavailable as error:  # the engine, not the model
            for entry in batch:
                _fail(entry, error)
            return
        except Exception as error:  # whatever the model raises belongs to the callers of this batch
            log.error("forward_failed", texts=len(batch), error=type(error).__name__, exc_info=len(batch) == 1)
        # Outside of the block above, for the error holds on to the memory of the pass that failed.
        if scores is not None:
            for entry, row in zip(batch, scores, strict=True):
                _settle(entry, row)
        elif len(batch) == 1:
            _fail(batch[0], InferenceFailed("the model could not compute this text"))
        else:
            middle = len(batch) // 2
            await self._answer(batch[:middle])
            await self._answer(batch[middle:])

    async def _compute(self, batch: list[_Entry]) -> Scores:
        rows = [entry.encoding for entry in batch]
        tokens = sum(len(row.ids) for row in rows)

        def timed(rows: Sequence[Encoding]) -> Scores:
            began = time.monotonic()
            scores = self._forward(rows)
            self._pace.note(tokens, time.monotonic() - began)
            return scores

        scores = await self._engine.run(timed, rows, self._pace.limit(tokens))
        if len(scores) != len(batch):
            raise ValueError(f"{len(scores)} answers to {len(batch)} texts")
        return scores


def _settle(entry: _Entry, row: Scores) -> None:
    if not np.isfinite(row).all():
        log.error("scores_not_finite", tokens=len(entry.encoding.ids))
        _fail(entry, InferenceFailed("the model gave no number for this text"))
    elif not entry.answer.done():  # else its caller has left
        entry.answer.set_result(row)


def _fail(entry: _Entry, error: ClassiglotError) -> None:
    if not entry.answer.done():
        entry.answer.set_exception(error)


def _answer_or_raise(answer: Scores | BaseException) -> Scores | InferenceFailed:
    if isinstance(answer, BaseException) and not isinstance(answer, InferenceFailed):
        raise answer
    return answer
