"""The HTTP server process."""

import contextlib
import resource
import socket
import threading
from types import FrameType

import uvicorn

from service.access.gate import must_have_key
from service.app import create_app
from service.deadlines import IDLE_SECONDS, punctual
from service.errors import SettingsInvalid
from service.jobs.embedded_broker import tell_of_no_broker
from service.logs import configure_logs
from service.settings import Settings
from service.versions import check_packages

GRACE_SECONDS = 25  # for requests under way when the process is asked to stop; uvicorn's default is for ever


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT.

    Raises: SettingsInvalid when it cannot listen there, or needs a key to, or a library is too old.
    """
    configure_logs(settings.log_level, process="api")
    check_packages()
    must_have_key(settings)
    tell_of_no_broker(settings)
    closing = threading.Event()
    config = uvicorn.Config(
        create_app(settings, closing),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=punctual(settings.head_seconds, settings.body_seconds),
        ws="none",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _allow_many_connections()
    server = _Server(config, closing, settings.drain_seconds)
    server.run(sockets=[listen(settings.host, settings.port, settings.body_seconds)])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Tells the application that it is asked to stop, so that open event streams end and readiness turns."""

    def __init__(self, config: uvicorn.Config, closing: threading.Event, drain_seconds: float) -> None:
        super().__init__(config)
        self._closing, self._drain_seconds = closing, drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Unready at once; the listener closes when a load balancer has had time to see it, or at a second signal."""
        if self._closing.is_set() or self._drain_seconds == 0:
            self._closing.set()
            super().handle_exit(sig, frame)
            return
        self._closing.set()
        timer = threading.Timer(self._drain_seconds, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def _allow_many_connections() -> None:
    """Each takes a file descriptor, and many systems start a process with 1,024 although it may have far more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names no number that it would take
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(host: str, port: int, unread_seconds: float = 60) -> socket.socket:
    """A listening socket. `unread_seconds`: what is sent on its connections may wait so long to be read.

    Raises: SettingsInvalid that says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's delay on each connection (40 ms an answer); else it does not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux ends a connection whose other end reads nothing for so long
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(unread_seconds * 1000))
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SettingsInvalid(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port"
        ) from None
    return listener
