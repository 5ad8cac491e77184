"""Clients of a prediction service: one large request, many clients with a text each, one client alone."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from benchmarks.product import BenchmarkFailed

Body = Callable[[Sequence[str]], dict[str, Any]]
CLIENTS = 64
TIMEOUT_SECONDS = 1200


class Service:
    """Somewhere to POST texts to. `body` makes the request of some texts."""

    def __init__(self, url: str, body: Body) -> None:
        self._url, self._body = urlsplit(url), body

    def connect(self) -> http.client.HTTPConnection:
        """The standard library's client: of those at hand it takes the least of the processor from the server."""
        return http.client.HTTPConnection(self._url.netloc, timeout=TIMEOUT_SECONDS)

    def ask(self, connection: http.client.HTTPConnection, texts: Sequence[str]) -> Any:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", self._url.path, json.dumps(self._body(texts)).encode(), headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise BenchmarkFailed(f"{self._url.path} answered {response.status}: {content[:300]!r}")
        return json.loads(content)


def large_request(service: Service, texts: Sequence[str], most: int) -> float:
    """Texts a second, in requests of `most` texts one after another."""
    connection = service.connect()
    began = time.perf_counter()
    for first in range(0, len(texts), most):
        service.ask(connection, texts[first : first + most])
    return len(texts) / (time.perf_counter() - began)


def many_clients(service: Service, texts: Sequence[str]) -> float:
    """Texts a second with `CLIENTS` clients, each sending one text at a time."""
    left = iter(texts)
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        connection = service.connect()
        try:
            while (text := _take(left, lock)) is not None:
                service.ask(connection, [text])
        except Exception as error:  # told below: a thread's own would be lost
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return len(texts) / (time.perf_counter() - began)


def _take(left: Iterator[str], lock: threading.Lock) -> str | None:
    with lock:
        return next(left, None)


def alone(service: Service, text: str, times: int = 60) -> float:
    """Median seconds of one text with nobody else there."""
    connection = service.connect()
    return statistics.median(seconds(lambda: service.ask(connection, [text]), times))


def seconds(call: Callable[[], object], times: int) -> list[float]:
    """Of each call, after three that are not counted."""
    for _ in range(3):
        call()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found
