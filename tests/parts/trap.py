"""A server that nobody may call: what a library asks of the network comes here, and is remembered."""

import contextlib
import socket
import threading


class Trap:
    """Refuses everybody. `heard`: how each connection began."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """Leads processes here: those that ask the hub, and those that ask anybody over HTTP."""
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self.url)
        return proxies | {"HF_ENDPOINT": self.url, "NO_PROXY": "127.0.0.1,localhost"}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing wakes no thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(5)
                    self.heard.append(client.recv(200))
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
