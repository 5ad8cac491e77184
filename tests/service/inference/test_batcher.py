"""The batcher over a forward pass that is slow, failing or counted, but real Python all the same."""

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from service.errors import InferenceFailed, Overloaded, Unavailable
from service.inference.batcher import Batcher
from service.inference.engine import Engine
from service.inference.predictions import Encoding, Scores
from service.logs import tell_with_each_line


class CountingForward:
    """Answers each row with its first id; remembers batches; `poison` ids fail the whole batch."""

    def __init__(
        self,
        seconds: float = 0.0,
        poison: int | None = None,
        most_tokens: int | None = None,
        not_a_number: int | None = None,
    ) -> None:
        self.batches: list[list[Encoding]] = []
        self.seconds, self.poison, self.most_tokens = seconds, poison, most_tokens
        self.not_a_number = not_a_number
        self.threads: set[int] = set()

    def __call__(self, rows: Sequence[Encoding]) -> Scores:
        self.threads.add(threading.get_ident())
        self.batches.append(list(rows))
        time.sleep(self.seconds)
        if any(row.ids[0] == self.poison for row in rows):
            raise ValueError("poison")
        if self.most_tokens and len(rows) * max(len(row.ids) for row in rows) > self.most_tokens:
            raise MemoryError("out of memory")
        scores = [[np.nan if row.ids[0] == self.not_a_number else row.ids[0]] for row in rows]
        return np.array(scores, dtype=np.float32)


class HeldForward(CountingForward):
    """Each pass waits until it is released: what happens meanwhile hangs on no clock."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, rows: Sequence[Encoding]) -> Scores:
        self.begun.set()
        self.released.wait(10)
        return super().__call__(rows)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


def row(number: int, length: int = 4) -> Encoding:
    return Encoding([number] + [0] * (length - 1), False)


def make(forward: CountingForward, max_batch_tokens: int = 64, max_queued_tokens: int = 10_000) -> Batcher:
    return Batcher(forward, Engine(max_batch_tokens, max_queued_tokens))


async def ask(batcher: Batcher, *rows: Encoding) -> list[float]:
    return [float(score) for score in (await batcher.score(rows))[:, 0]]


def test_single_texts_do_not_make_a_device_seem_too_slow_for_many() -> None:
    """A GPU takes as long for one text as for a hundred; what stands in line is a few passes, not many minutes."""

    async def scenario() -> None:
        engine = Engine(8_192, 2_000_000, max_wait_seconds=10)
        batcher = Batcher(CountingForward(seconds=0.005), engine, pass_tokens=4_096)
        for number in range(30):
            await ask(batcher, row(number, 10))
        requests = [batcher.score([row(number, 20) for _ in range(400)]) for number in range(8)]
        assert len(await asyncio.gather(*requests)) == 8  # none was refused

    asyncio.run(scenario())


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


def test_one_text_at_low_load_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        timers: list[object] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda *what, **_: timers.append(what))
        assert await ask(make(CountingForward()), row(1)) == [1.0]
        assert timers == []

    asyncio.run(scenario())


def test_a_large_request_lets_small_ones_in_between() -> None:
    async def scenario() -> None:
        forward = HeldForward()
        batcher = make(forward)
        large = asyncio.create_task(ask(batcher, *(row(number) for number in range(1000))))
        await forward.has_begun()
        small = asyncio.create_task(ask(batcher, row(5000)))
        await asyncio.sleep(0)
        forward.released.set()
        assert await small == [5000.0]
        assert len(await large) == 1000
        turn = next(number for number, batch in enumerate(forward.batches) if row(5000) in batch)
        assert (turn, len(forward.batches)) == (1, 64)  # after the pass that was under way

    asyncio.run(scenario())


def test_too_much_is_refused_at_once_and_room_comes_back() -> None:
    async def scenario() -> None:
        forward = HeldForward()
        batcher = make(forward, max_queued_tokens=100)
        first = asyncio.create_task(ask(batcher, *(row(number) for number in range(24))))
        await forward.has_begun()
        with pytest.raises(Overloaded) as caught:  # while the first still computes
            await ask(batcher, *(row(number) for number in range(2)))
        assert caught.value.retry_after == 1
        forward.released.set()
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
        assert isinstance(answers[13], InferenceFailed)
        assert [answer for number, answer in enumerate(answers) if number != 13] == [
            [float(number)] for number in range(32) if number != 13
        ]
        assert await ask(batcher, row(1)) == [1.0]

    asyncio.run(scenario())


def test_a_text_without_a_finite_score_is_named_and_its_neighbours_are_answered() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward(not_a_number=3))
        answers = await batcher.score_each([row(number) for number in range(6)])
        assert [isinstance(answer, InferenceFailed) for answer in answers] == [number == 3 for number in range(6)]
        with pytest.raises(InferenceFailed, match="text 3") as caught:
            await batcher.score([row(number) for number in range(6)])
        assert [detail.row for detail in caught.value.details] == [3]

    asyncio.run(scenario())


def test_a_pass_that_failed_is_not_logged_as_the_request_that_began_to_compute() -> None:
    async def scenario() -> None:
        batcher = make(CountingForward(seconds=0.05, poison=1, not_a_number=2))

        async def request(number: int) -> None:
            tell_with_each_line(key_id=number)
            await batcher.score_each([row(number, 64)])

        with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
            await asyncio.gather(*(asyncio.create_task(request(number)) for number in range(3)))
        assert [line["event"] for line in lines] == ["forward_failed", "scores_not_finite"]
        assert not any("key_id" in line for line in lines)

    asyncio.run(scenario())


def test_a_model_that_answers_for_the_wrong_number_of_texts_leaves_nobody_waiting() -> None:
    async def scenario() -> None:
        batcher = Batcher(lambda rows: np.zeros((len(rows) + 1, 1), dtype=np.float32), Engine(64, 10_000))
        answers = await asyncio.wait_for(batcher.score_each([row(1), row(2)]), 5)
        assert [type(answer) for answer in answers] == [InferenceFailed, InferenceFailed]

    asyncio.run(scenario())


def test_a_batch_that_cannot_be_planned_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        batcher = make(CountingForward())

        def fail() -> list[object]:
            raise RuntimeError("a bug")

        monkeypatch.setattr(batcher, "_next_batch", fail)
        (answer,) = await asyncio.wait_for(batcher.score_each([row(1)]), 5)
        assert isinstance(answer, InferenceFailed)
        monkeypatch.undo()
        assert await ask(batcher, row(1)) == [1.0]

    asyncio.run(scenario())


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    async def scenario() -> None:
        engine, forward = Engine(64, 10_000, max_wait_seconds=5), HeldForward()
        batcher = Batcher(forward, engine)
        batcher._pace.note(64, 2)
        accepted = [asyncio.create_task(ask(batcher, row(number, 64))) for number in range(3)]
        await forward.has_begun()
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, row(9, 64))
        assert caught.value.retry_after == 4  # of the 6 s in line, half of what may wait is left by then
        forward.released.set()
        assert await asyncio.gather(*accepted) == [[0.0], [1.0], [2.0]]
        assert engine.seconds_in_line == pytest.approx(0)

    asyncio.run(scenario())


def test_who_did_wait_too_long_is_told_so() -> None:
    """As when the pace is not known yet: too many are let in."""

    async def scenario() -> None:
        engine, forward = Engine(64, 10_000, max_wait_seconds=0.5), HeldForward()
        batcher = Batcher(forward, engine)
        asked = [asyncio.create_task(ask(batcher, row(number, 64))) for number in range(3)]
        await forward.has_begun()
        await asyncio.sleep(0.6)
        forward.released.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[0] == [0.0]
        assert [type(answer) for answer in answers[1:]] == [Overloaded, Overloaded]
        assert len(forward.batches) == 1
        assert engine.seconds_in_line == pytest.approx(0)

    asyncio.run(scenario())


def test_a_stuck_thread_is_told_to_all_who_wait_and_forgiven_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr("service.inference.batcher.SHORTEST_LIMIT", 0.5)
        engine, forward = Engine(64, 10_000), HeldForward()
        batcher, stuck = Batcher(CountingForward(), engine), Batcher(forward, engine)
        await ask(batcher, row(0))
        engine.watch()
        try:  # else the watch would end pytest itself
            stuck._pace.note(4, 0.001)
            waiting = [asyncio.create_task(ask(each, row(1))) for each in (stuck, batcher, stuck)]
            answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
            assert [type(answer) for answer in answers] == [Unavailable] * 3
            with pytest.raises(Unavailable):
                await ask(batcher, row(2))
            forward.released.set()
            while engine.stuck:
                await asyncio.sleep(0.01)
            assert await ask(batcher, row(2)) == [2.0]
        finally:
            forward.released.set()
            engine.close()

    asyncio.run(scenario())


def test_a_pass_that_runs_out_of_memory_is_made_in_halves() -> None:
    async def scenario() -> None:
        forward = CountingForward(most_tokens=20)
        assert await ask(make(forward), *(row(number) for number in range(16))) == [float(n) for n in range(16)]
        assert len(forward.batches[0]) == 16

    asyncio.run(scenario())


def test_callers_that_left_cost_no_pass_and_leave_no_tokens_behind() -> None:
    async def scenario() -> None:
        engine, forward = Engine(64, 10_000), HeldForward()
        batcher = Batcher(forward, engine)
        busy = asyncio.create_task(ask(batcher, row(0)))
        await forward.has_begun()
        leaving = [asyncio.create_task(ask(batcher, row(number))) for number in range(1, 30)]
        await asyncio.sleep(0)
        assert engine.queued_tokens == 30 * 4
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        forward.released.set()
        await asyncio.gather(busy, *leaving, return_exceptions=True)
        assert await ask(batcher, row(99)) == [99.0]
        assert {encoding.ids[0] for batch in forward.batches for encoding in batch} == {0, 99}
        assert engine.queued_tokens == 0

    asyncio.run(scenario())
