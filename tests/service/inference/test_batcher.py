"""The batcher over a forward pass that is slow, failing or counted, but real Python all the same."""

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from service.errors import Overloaded
from service.inference.batcher import Batcher, Engine
from service.inference.predictions import Encoding, Scores


class CountingForward:
    """Answers each row with its first id; remembers batches; `poison` ids fail the whole batch."""

    def __init__(self, seconds: float = 0.0, poison: int | None = None, most_tokens: int | None = None) -> None:
        self.batches: list[list[Encoding]] = []
        self.seconds, self.poison, self.most_tokens = seconds, poison, most_tokens
        self.threads: set[int] = set()

    def __call__(self, rows: Sequence[Encoding]) -> Scores:
        self.threads.add(threading.get_ident())
        self.batches.append(list(rows))
        time.sleep(self.seconds)
        if any(row.ids[0] == self.poison for row in rows):
            raise ValueError("poison")
        if self.most_tokens and len(rows) * max(len(row.ids) for row in rows) > self.most_tokens:
            raise MemoryError("out of memory")
        return np.array([[row.ids[0]] for row in rows], dtype=np.float32)


def row(number: int, length: int = 4) -> Encoding:
    return Encoding([number] + [0] * (length - 1), False)


def make(forward: CountingForward, max_batch_tokens: int = 64, max_queued_tokens: int = 10_000) -> Batcher:
    return Batcher(forward, Engine(max_batch_tokens, max_queued_tokens))


async def ask(batcher: Batcher, *rows: Encoding) -> list[float]:
    return [float(score) for score in (await batcher.score(rows))[:, 0]]


def test_a_request_gets_its_answers_in_the_order_asked() -> None:
    async def scenario() -> None:
        rows = [row(number, length) for number, length in enumerate([9, 2, 30, 5, 64, 1, 80])]
        assert await ask(make(CountingForward()), *rows) == [0, 1, 2, 3, 4, 5, 6]

    asyncio.run(scenario())


def test_what_gathers_while_the_engine_is_busy_shares_the_next_pass() -> None:
    async def scenario() -> None:
        forward = CountingForward(seconds=0.05)
        batcher = make(forward)
        answers = await asyncio.gather(*(ask(batcher, row(number)) for number in range(17)))
        assert answers == [[float(number)] for number in range(17)]
        assert [len(batch) for batch in forward.batches] in ([16, 1], [1, 16])  # 64 tokens a pass, 4 a text
        assert len(forward.threads) == 1

    asyncio.run(scenario())


def test_one_text_at_low_load_does_not_wait() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward())
        began = time.perf_counter()
        for number in range(20):
            await ask(batcher, row(number))
        assert time.perf_counter() - began < 0.5  # a wait timer of 25 ms would not pass

    asyncio.run(scenario())


def test_a_large_request_lets_small_ones_in_between() -> None:
    async def scenario() -> None:
        forward = CountingForward(seconds=0.01)
        batcher = make(forward)
        large = asyncio.create_task(ask(batcher, *(row(number) for number in range(1000))))
        await asyncio.sleep(0.03)
        began = time.perf_counter()
        await ask(batcher, row(7))
        assert time.perf_counter() - began < 0.1
        assert not large.done()
        assert len(await large) == 1000

    asyncio.run(scenario())


def test_too_much_is_refused_at_once_and_room_comes_back() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward(seconds=0.2), max_queued_tokens=100)
        first = asyncio.create_task(ask(batcher, *(row(number) for number in range(24))))
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, *(row(number) for number in range(2)))
        assert time.perf_counter() - began < 0.05
        assert caught.value.retry_after == 1
        await first
        assert await ask(batcher, row(3)) == [3.0]

    asyncio.run(scenario())


def test_a_single_request_larger_than_the_queue_is_served_when_nothing_waits() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward(), max_queued_tokens=10)
        assert len(await ask(batcher, *(row(number) for number in range(50)))) == 50

    asyncio.run(scenario())


def test_one_poisoned_text_fails_its_own_caller_only() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward(seconds=0.01, poison=13), max_batch_tokens=128)
        asked = [ask(batcher, row(number)) for number in range(32)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[13], ValueError)
        assert [answer for number, answer in enumerate(answers) if number != 13] == [
            [float(number)] for number in range(32) if number != 13
        ]
        assert await ask(batcher, row(1)) == [1.0]

    asyncio.run(scenario())


def test_a_pass_that_runs_out_of_memory_is_made_in_halves() -> None:
    async def scenario() -> None:
        forward = CountingForward(most_tokens=20)
        assert await ask(make(forward), *(row(number) for number in range(16))) == [float(n) for n in range(16)]
        assert len(forward.batches[0]) == 16

    asyncio.run(scenario())


def test_callers_that_left_cost_no_pass_and_leave_no_tokens_behind() -> None:
    async def scenario() -> None:
        forward = CountingForward(seconds=0.05)
        engine = Engine(64, 10_000)
        batcher = Batcher(forward, engine)
        busy = asyncio.create_task(ask(batcher, row(0)))
        await asyncio.sleep(0.01)
        leaving = [asyncio.create_task(ask(batcher, row(number))) for number in range(1, 30)]
        await asyncio.sleep(0.01)
        for task in leaving:
            task.cancel()
        await asyncio.gather(busy, *leaving, return_exceptions=True)
        assert await ask(batcher, row(99)) == [99.0]
        assert {encoding.ids[0] for batch in forward.batches for encoding in batch} == {0, 99}
        assert engine.queued_tokens == 0

    asyncio.run(scenario())
