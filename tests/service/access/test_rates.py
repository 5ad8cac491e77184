"""Counting in one process, in a shared store, and when that is away."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import processes
from service.access.rates import RateCounter, RateLimits
from service.errors import RateLimited
from service.jobs.embedded_broker import start_broker
from service.settings import Settings, read_settings


@pytest.fixture
def broker() -> Iterator[tuple[Settings, int]]:
    """Settings that name a real server by URL, and its process id."""
    with tempfile.TemporaryDirectory(prefix="rates-") as folder:  # a socket's path must be short
        alone = read_settings(data_dir=Path(folder))
        process = start_broker(alone)
        yield read_settings(data_dir=Path(folder), broker_url=alone.queue_url), process.pid
        processes.end(process, grace_seconds=5)


def hits(counter: RateCounter, number: int, who: str = "a", rate: str = "5/minute") -> list[bool]:
    return [counter.hit(rate, who).allowed for _ in range(number)]


def test_a_window_lets_so_many_pass_and_says_when_it_ends(settings: Settings) -> None:
    counter = RateCounter(settings)
    counts = [counter.hit("3/minute", "a") for _ in range(4)]
    assert [(count.allowed, count.remaining) for count in counts] == [(True, 2), (True, 1), (True, 0), (False, 0)]
    assert all((count.limit, count.window) == (3, 60) and 1 <= count.reset <= 60 for count in counts)
    assert counter.hit("3/minute", "b").allowed
    assert hits(counter, 2, "c", "1/second") == [True, False]
    time.sleep(1.1)
    assert hits(counter, 1, "c", "1/second") == [True]


def test_services_that_share_a_broker_count_together(broker: tuple[Settings, int]) -> None:
    one, two = RateCounter(broker[0]), RateCounter(broker[0])
    assert hits(one, 3) == [True] * 3
    assert hits(two, 3) == [True, True, False]
    assert hits(one, 1) == [False]
    assert 1 <= two.hit("5/minute", "a").reset <= 60


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_store_that_is_away_refuses_nobody_and_costs_no_time(
    broker: tuple[Settings, int], how: signal.Signals
) -> None:
    settings, pid = broker
    counter = RateCounter(settings)
    assert hits(counter, 6) == [True] * 5 + [False]
    os.kill(pid, how)
    try:
        began = time.monotonic()
        assert hits(counter, 6) == [True] * 5 + [False]  # counted here alone
        assert time.monotonic() - began < 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_wrong_keys_are_limited_by_address(settings: Settings) -> None:
    limits = RateLimits(settings.model_copy(update={"rate_limit_wrong_keys": "2/minute"}))
    limits.count_wrong_key("1.2.3.4")
    limits.count_wrong_key("1.2.3.4")
    with pytest.raises(RateLimited, match="wrong key") as caught:
        limits.count_wrong_key("1.2.3.4")
    assert 1 <= (caught.value.retry_after or 0) <= 60
    limits.count_wrong_key("1.2.3.5")


def test_no_limit_counts_nothing(settings: Settings) -> None:
    none = dict.fromkeys(("rate_limit_read", "rate_limit_wrong_keys"))
    limits = RateLimits(settings.model_copy(update=none))
    assert limits.count("cgk_1", "read") is None
    for _ in range(100):
        limits.count_wrong_key("1.2.3.4")
