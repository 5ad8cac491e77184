"""The server's clocks, and what it says to what is no request, with a real server and bare sockets."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from parts.deployment import wait_until
from service.deadlines import punctual
from service.serve import listen

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body, or before it where the path says so."""
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    content = str(length).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server with deadlines of 1 s for a head and 1.5 s for a body."""
    config = uvicorn.Config(
        app, http=punctual(1, 1.5), ws="none", lifespan="off", log_config=None, timeout_keep_alive=3
    )
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: server.started, 10)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as found:
        yield found


def until(connection: socket.socket, ending: bytes) -> None:
    said = b""
    while not said.endswith(ending):
        part = connection.recv(65536)
        assert part, said
        said += part


def until_closed(connection: socket.socket) -> tuple[bytes, float]:
    began, said = time.monotonic(), b""
    while part := connection.recv(65536):
        said += part
    return said, time.monotonic() - began


def test_a_head_that_stays_unfinished_is_refused_with_what_to_do(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    said, seconds = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in said
    assert 0.5 < seconds < 2.9  # before a connection that idles is closed


def test_a_connection_that_says_nothing_is_closed_without_a_word(connection: socket.socket) -> None:
    assert until_closed(connection)[0] == b""


def test_a_second_request_has_the_same_time_as_the_first(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
    until(connection, b"\r\n\r\n0")
    connection.sendall(HEAD)
    said, seconds = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert seconds < 2.9


def test_a_connection_may_idle_between_requests_for_as_long_as_the_server_says(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
    time.sleep(1.5)  # longer than a head may take
    connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
    said, seconds = until_closed(connection)
    assert said.count(b"200 OK") == 2
    assert 2 < seconds < 5


def test_a_body_that_drips_is_refused_though_its_head_came_in_time(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 99\r\n\r\n")
    for _ in range(3):
        connection.sendall(b"x")
        time.sleep(0.4)
    said, seconds = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert seconds < 1.5


def test_a_body_that_comes_at_a_fair_rate_has_the_time_it_needs(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 250000\r\n\r\n")
    for _ in range(25):  # 2.5 s
        connection.sendall(b"x" * 10_000)
        time.sleep(0.1)
    until(connection, b"\r\n\r\n250000")


def test_who_was_answered_early_cannot_drip_for_ever(connection: socket.socket) -> None:
    connection.sendall(b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n")
    closed = wait_until(lambda: not _can_send(connection), 4)
    assert closed > 1


def _can_send(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except OSError:
        return False
    return True


def test_pipelined_requests_are_answered_and_the_unfinished_last_is_refused(connection: socket.socket) -> None:
    whole = HEAD + b"Content-Length: 2\r\n\r\nab"
    connection.sendall(whole * 3 + HEAD + b"Content-Length: 2\r\n\r\n")
    said, _ = until_closed(connection)
    assert said.count(b"200 OK") == 3
    assert b"408 " in said


@pytest.mark.parametrize(
    "sent",
    [
        b"no request\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # names no host
        HEAD + b"X-Long: " + b"x" * 20_000,
        HEAD + b"Content-Length: 1x\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
)
def test_what_is_no_request_is_refused_in_the_form_that_every_error_has(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    said, _ = until_closed(connection)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")  # had a clock to ring for it, it were 408
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert head.endswith(b"\r\nconnection: close")
    error = json.loads(body)["error"]
    assert (sorted(error), error["code"], error["details"]) == (["code", "details", "message"], "body_unreadable", [])


@pytest.mark.parametrize("method", [b"HEAD /", b"POST /early"])
def test_a_body_that_breaks_where_no_error_can_be_told_ends_the_connection(
    connection: socket.socket, caplog: pytest.LogCaptureFixture, method: bytes
) -> None:
    """HEAD's answer has no body, and of the other the answer has begun."""
    connection.sendall(method + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    time.sleep(0.2)
    connection.sendall(b"no chunk\r\n")
    said, seconds = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 400 " if method == b"HEAD /" else b"HTTP/1.1 200 ")
    assert b"{" not in said
    assert seconds < 0.9
    assert "Fatal error" not in caplog.text
