"""The HTTP server process."""

import socket
import threading
from types import FrameType

import uvicorn

from service.access.gate import must_have_key
from service.app import create_app
from service.errors import SettingsInvalid
from service.logs import configure_logs
from service.settings import Settings

GRACE_SECONDS = 25  # for requests under way when the process is asked to stop; uvicorn's default is for ever


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Raises: SettingsInvalid when it cannot listen there, or needs a key to."""
    configure_logs(settings.log_level, process="api")
    must_have_key(settings)
    closing = threading.Event()
    config = uvicorn.Config(
        create_app(settings, closing),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, closing)
    server.run(sockets=[listen(settings.host, settings.port)])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Tells the application that it is asked to stop, so that open event streams end and readiness turns."""

    def __init__(self, config: uvicorn.Config, closing: threading.Event) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.set()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises: SettingsInvalid that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's delay on each connection (40 ms an answer); else it does not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SettingsInvalid(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port"
        ) from None
    return listener
