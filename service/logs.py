"""One structured logging set-up for all processes: one JSON line an event, on standard error."""

import logging
import sys
from typing import cast

import structlog
from structlog.typing import EventDict, WrappedLogger

MAX_FIELD = 2_000


def _cap_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Names and messages may come from users: keep a line a line of sane length."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD and key != "exception":
            event[key] = value[:MAX_FIELD] + "…"
    return event


def configure_logs(level: str, *, process: str) -> None:
    """Send structlog and the standard library's loggers through one JSON renderer.

    Call once, first thing in a process; `process` (`api`, `worker`, `run`, …) marks its lines.
    """

    def name_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process  # not a context variable: those do not reach other threads
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _cap_fields,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("alembic", "httpx"):  # at info they tell of each start and each look at readiness
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def tell_with_each_line(**fields: object) -> None:
    """For all lines of this thread, or asyncio task, from now on."""
    structlog.contextvars.bind_contextvars(**fields)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
