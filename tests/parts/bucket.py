"""A real S3 server (moto) on the loopback interface, and before it a door that fails as networks and buckets do."""

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

import httpx

from parts.ports import free_port
from service import processes

NAME = "classiglot"
START_SECONDS = 60.0
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "canary-of-the-bucket", "AWS_REGION": "eu-west-1"}
Fault = Literal["503", "403", "409", "hang", "reset", "lost answer", "half"]


@contextmanager
def bucket_server() -> Iterator[str]:
    """Yields its address; it holds one bucket, `NAME`. It ends with the thread that entered the block."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        processes.dying_with_us(command), env=os.environ | KEYS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(address)
        httpx.put(f"{address}/{NAME}", content=_PLACE, trust_env=False).raise_for_status()
        yield address
    finally:
        processes.end(process, grace_seconds=5)


_PLACE = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"


def _wait_until_it_answers(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(address, timeout=5, trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Door:
    """Passes requests on to the server at `address`, and answers, until told to fail."""

    def __init__(self, address: str) -> None:
        self._target = urlsplit(address).netloc
        self._faults: list[tuple[Fault, str, str]] = []
        self._lock, self._closed = threading.Lock(), threading.Event()
        self.seen: list[str] = []  # method and path of each request
        self.shut = False  # answers 503 to all
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement of its head

            def _handle(self) -> None:
                door._answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def fail(self, fault: Fault, method: str, path: str = "", times: int = 1) -> None:
        """The next so many requests of that method whose path contains `path`."""
        with self._lock:
            self._faults += [(fault, method, path)] * times

    def count(self, method: str, path: str = "") -> int:
        return sum(line.startswith(f"{method} ") and path in line for line in list(self.seen))

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.seen.append(f"{request.command} {request.path}")
        fault = self._fault_of(request)
        if fault == "hang":
            self._closed.wait(120)
        if fault in ("503", "403", "409"):
            _say(request, int(fault), _ERROR % {"503": b"SlowDown", "403": b"AccessDenied"}.get(fault, b"Conflict"))
        elif fault in ("reset", "hang"):
            _reset(request)
        else:
            status, headers, answer = self._ask(request, body)
            if fault == "lost answer":
                _reset(request)
            else:
                _say(request, status, answer, headers, half=fault == "half")

    def _fault_of(self, request: BaseHTTPRequestHandler) -> Fault | None:
        with self._lock:
            for number, (fault, method, path) in enumerate(self._faults):
                if method == request.command and path in request.path:
                    del self._faults[number]
                    return fault
        return "503" if self.shut else None

    def _ask(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=60)
        try:
            connection.request(request.command, request.path, body, dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


_ERROR = b"<Error><Code>%s</Code><Message>as told</Message></Error>"


def _say(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: list[tuple[str, str]] | None = None,
    half: bool = False,
) -> None:
    request.send_response_only(status)
    told = [(name, value) for name, value in headers or [] if name.lower() not in _OWN]
    length = next((value for name, value in headers or [] if name.lower() == "content-length"), str(len(body)))
    for name, value in [*told, ("Content-Length", length)]:
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body[: len(body) // 2] if half else body)
    if half:
        _reset(request)


_OWN = ("content-length", "transfer-encoding", "connection")


def _reset(request: BaseHTTPRequestHandler) -> None:
    request.wfile.flush()
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True
    request.connection.close()
