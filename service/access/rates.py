"""How often: counted in this process, or in the broker's Redis where several services share one."""

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from service.errors import RateLimited
from service.logs import get_logger
from service.settings import Settings

log = get_logger(__name__)
AWAY_SECONDS = 5.0  # after a failure the shared counters are left alone for so long
REDIS_SECONDS = 0.25  # a request waits no longer than this for a counter


@dataclass(frozen=True, slots=True)
class Count:
    """One window after a hit: `limit` in `window` seconds, `remaining` until `reset` seconds from now."""

    allowed: bool
    limit: int
    window: int
    remaining: int
    reset: int


class RateCounter:
    """Counts hits in fixed windows. A shared store that is away refuses nobody: then each process counts alone."""

    def __init__(self, settings: Settings) -> None:
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(_redis(settings.broker_url)) if settings.broker_url else None
        self._away_until = 0.0

    def hit(self, rate: str, *who: str) -> Count:
        """`rate` such as `100/minute`."""
        item = parse(rate)
        if self._shared and time.monotonic() >= self._away_until:
            try:
                return _hit(self._shared, item, who)
            except StorageError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("rate_store_away", error=type(error.storage_error).__name__)
        return _hit(self._own, item, who)


def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, who: tuple[str, ...]) -> Count:
    allowed = limiter.hit(item, *who)
    stats = limiter.get_window_stats(item, *who)
    reset = max(1, math.ceil(stats.reset_time - time.time()))
    return Count(allowed, item.amount, item.get_expiry(), stats.remaining, reset)


def _redis(url: str) -> Storage:
    return RedisStorage(
        url.replace("redis+socket://", "redis+unix://", 1),
        key_prefix="classiglot-rates",
        wrap_exceptions=True,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
    )


class RateLimits:
    """The limits that the settings set: each key in each class of route, and wrong keys from each address."""

    def __init__(self, settings: Settings) -> None:
        self._counter = RateCounter(settings)
        self._wrong_keys = settings.rate_limit_wrong_keys
        self._rates = {
            "read": settings.rate_limit_read,
            "train": settings.rate_limit_train,
            "predict": settings.rate_limit_predict,
        }

    def count(self, key_id: str, kind: str) -> Count | None:
        """Counts a request; None where there is no limit. The caller refuses what is not allowed."""
        rate = self._rates[_setting_of(kind)]
        return self._counter.hit(rate, "key", key_id, kind) if rate else None

    def count_wrong_key(self, address: str) -> None:
        """Raises: RateLimited. Keys that are good pass even then: their owners may share an address with a guesser."""
        if self._wrong_keys is None:
            return
        count = self._counter.hit(self._wrong_keys, "wrong-key", address)
        if not count.allowed:
            raise RateLimited(
                f"too many requests with a wrong key from this address; correct the key, then wait {count.reset} s",
                retry_after=count.reset,
            )


def too_many(count: Count, kind: str) -> RateLimited:
    return RateLimited(
        f"this key has made its {count.limit} `{kind}` requests in {count.window} s; "
        f"go on in {count.reset} s, or ask the operator for a higher RATE_LIMIT_{_setting_of(kind).upper()}",
        retry_after=count.reset,
    )


def _setting_of(kind: str) -> str:
    """`admin` has no setting of its own: what only its keys may do is read."""
    return kind if kind in ("train", "predict") else "read"
