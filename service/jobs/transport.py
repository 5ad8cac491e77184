"""Kombu's Redis transport, but for messages that are none: they are dropped, where they would end the worker."""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from service.logs import get_logger

log = get_logger(__name__)


class Channel(kombu_redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except ValueError as error:  # it is no JSON, or no text
            log.warning("message_dropped", why=type(error).__name__)
            return True


class Transport(kombu_redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        before = self._unacknowledged()
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, LookupError, AttributeError) as error:  # JSON, but no envelope with a task in it
            log.warning("message_dropped", why=type(error).__name__)
            # else it takes the one place for an unacknowledged message, and the worker never asks for another
            for channel, tag in self._unacknowledged() - before:
                channel.basic_ack(tag)

    def _unacknowledged(self) -> set[tuple[Any, str]]:
        return {(channel, tag) for channel in self.channels for tag in channel.qos._delivered}


def install() -> None:
    """From now on `redis://` addresses of this process are served by this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
