"""Connections that send their request by drops."""

import contextlib
import socket
import threading
import time

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Drip:
    """Opens `number` connections and sends `beginning` at once, then `drop` on each four times a second.

    `closed`: for each connection that the other side has ended, after how many seconds, and what it said last.
    """

    def __init__(self, port: int, number: int, beginning: bytes, drop: bytes) -> None:
        self.closed: list[tuple[float, bytes]] = []
        self.open = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]
        self._began, self._drop = time.monotonic(), drop
        for connection in self.open:
            connection.sendall(beginning)
            connection.setblocking(False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self, seconds: float) -> None:
        """Waits until all are closed. Raises: AssertionError."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"{len(self.open)} are open after {time.monotonic() - self._began:.0f} s"

    def _run(self) -> None:
        while self.open:
            self.open = [connection for connection in self.open if self._lives(connection)]
            time.sleep(0.25)

    def _lives(self, connection: socket.socket) -> bool:
        said = b""
        try:
            with contextlib.suppress(BlockingIOError):  # nothing was said
                said = connection.recv(65536)
                raise ConnectionResetError
            connection.sendall(self._drop)
            return True
        except OSError:
            self.closed.append((time.monotonic() - self._began, said))
            connection.close()
            return False
