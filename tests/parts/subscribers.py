"""Readers of a job's event stream, many in one thread, with bare sockets."""

import asyncio
import threading
from pathlib import Path


def stream_request(job_id: str, last: int = 0) -> bytes:
    seen = f"Last-Event-ID: {last}\r\n" if last else ""
    return (
        f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{seen}"
        "Connection: close\r\n\r\n"
    ).encode()


class Subscribers:
    """`seen`: the numbers of the events that each has got, in their order. Those in `restless` leave after each event
    and come back with Last-Event-ID."""

    def __init__(self, port: int, job_id: str, number: int, restless: int) -> None:
        self.seen: list[list[int]] = [[] for _ in range(number)]
        self._port, self._job_id, self._restless = port, job_id, restless
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def end(self, seconds: float) -> None:
        """Waits for the end of all streams. Raises: AssertionError."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "a stream stays open"

    async def _run(self) -> None:
        await asyncio.gather(*(self._follow(number) for number in range(len(self.seen))))

    async def _follow(self, number: int) -> None:
        while await self._read(self.seen[number], leaves=number < self._restless):
            pass

    async def _read(self, seen: list[int], *, leaves: bool) -> bool:
        """Whether the stream was left and goes on."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(stream_request(self._job_id, seen[-1] if seen else 0))
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    seen.append(int(line[4:]))
                    if leaves:
                        return True
        finally:
            writer.close()
        return False


def is_connected(server_port: int, client_port: int) -> bool:
    """Whether the server's end of that connection is open, by what the kernel says."""
    ends = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [f"0100007F:{server_port:04X}", f"0100007F:{client_port:04X}", "01"] in ends
