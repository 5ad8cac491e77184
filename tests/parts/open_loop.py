"""Requests at a constant rate, whatever becomes of those before: a client that waits for its answers hides an overload.

Bare sockets, because the load must take less of the machine than what it loads.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """`seconds` from the first byte sent to the last received; headers in lower case."""

    began: float
    status: int
    seconds: float
    headers: dict[str, str]


def as_request(path: str, body: Any) -> bytes:
    """A POST of JSON on a connection of its own."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def exchange(port: int, request: bytes) -> Answer:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        answer = await reader.read()
    finally:
        writer.close()
    first, *rest = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    return Answer(began, int(first.split()[1]), time.monotonic() - began, headers)


async def ask_steadily(port: int, request: bytes, per_second: float, seconds: float) -> list[Answer]:
    """Returns when the last is answered. Raises: OSError, when one gets no answer."""
    loop, tasks = asyncio.get_running_loop(), []
    began = loop.time()
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(began + number / per_second - loop.time())
        tasks.append(loop.create_task(exchange(port, request)))
    return list(await asyncio.gather(*tasks))


def share(values: Sequence[float], part: float) -> float:
    """The value under which `part` of them lie."""
    return sorted(values)[int(len(values) * part)]


async def leave(port: int, request: bytes, sent: float, seconds: float, *, rudely: bool) -> None:
    """Sends a share of a request and leaves after so long; `rudely`: with a reset in place of a goodbye."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request[: int(len(request) * sent)])
    await asyncio.sleep(seconds)
    if rudely:
        writer.transport.abort()
    writer.close()
