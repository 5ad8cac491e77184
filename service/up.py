"""`classiglot up`: broker, service and worker under one parent, on one data dir."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import httpx

from service import processes
from service.access.gate import must_have_key
from service.errors import SettingsInvalid
from service.jobs.embedded_broker import start_broker
from service.logs import configure_logs, get_logger
from service.serve import listen
from service.settings import Settings, make_data_dir

log = get_logger(__name__)
READY_SECONDS = 60.0
GRACE_SECONDS = 35.0
RESTARTS_A_MINUTE = 5


@dataclass(slots=True)
class _Part:
    """A process that is started again when it ends by itself."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    restarts: list[float] = field(default_factory=list)


class System:
    """The running parts. `address` is where the service answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"http://{shown}:{settings.port}"
        self._env = os.environ | {
            "DATA_DIR": str(settings.data_dir),
            "HOST": settings.host,
            "PORT": str(settings.port),
            "LOG_LEVEL": settings.log_level,
        }
        self._parts: list[_Part] = []

    def start(self) -> None:
        """Raises: SettingsInvalid, Unavailable; the parts that were started are then ended by `stop`."""
        if self.settings.broker_url is None:
            self._add("broker", lambda: start_broker(self.settings))
        self._add("service", lambda: self._python("service.cli", "api"))
        self._add("worker", lambda: self._python("worker"))

    def wait_until_ready(self, asked_to_stop: threading.Event) -> None:
        """Returns when the service answers. Raises: SettingsInvalid when it does not in time."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not asked_to_stop.is_set():
            self.keep_alive()
            try:
                # trust_env: a proxy of the environment is for other machines, and may not reach this one
                if httpx.get(f"{self.address}/health/ready", timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            asked_to_stop.wait(0.1)
        if not asked_to_stop.is_set():
            raise SettingsInvalid("the service did not become ready; its log above says why")

    def keep_alive(self) -> None:
        """Starts again what ended by itself. Raises: SettingsInvalid when that happens over and over."""
        for part in self._parts:
            status = part.process.poll()
            if status is None:
                continue
            now = time.monotonic()
            part.restarts = [moment for moment in part.restarts if now - moment < 60] + [now]
            if len(part.restarts) > RESTARTS_A_MINUTE:
                raise SettingsInvalid(f"the {part.name} keeps ending (status {status}); its log above says why")
            log.error("part_ended", part=part.name, status=status)
            part.process = part.start()

    def stop(self) -> None:
        """Ends service and worker together, the broker last; none is left when this returns."""
        broker = [part.process for part in self._parts if part.name == "broker"]
        others = [part.process for part in self._parts if part.name != "broker"]
        processes.end(*others, grace_seconds=self.settings.drain_seconds + GRACE_SECONDS)
        processes.end(*broker, grace_seconds=5)

    def _add(self, name: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._parts.append(_Part(name, start, start()))

    def _python(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return processes.start(processes.python(module, *arguments), self._env)


def run_everything(settings: Settings) -> int:
    """Runs until Ctrl-C or SIGTERM. Raises: SettingsInvalid."""
    configure_logs(settings.log_level, process="up")
    with running_system(settings) as (system, asked_to_stop):
        if not asked_to_stop.is_set():
            welcome(system.address, settings)
        while not asked_to_stop.wait(0.5):
            system.keep_alive()
    return 0


def welcome(address: str, settings: Settings) -> None:
    """For the person at the terminal; where there is none, standard error is a log, of one JSON line an event."""
    if sys.stderr.isatty():
        print(f"Classiglot is ready at {address}", file=sys.stderr)
        print(f"  try it: {address}/docs   kept in: {settings.data_dir}   stop: Ctrl-C", file=sys.stderr)
    else:
        log.info("ready", address=address, data_dir=str(settings.data_dir))


@contextmanager
def running_system(settings: Settings) -> Iterator[tuple[System, threading.Event]]:
    """The system, ready, for the block; the event tells of Ctrl-C or SIGTERM. Raises: SettingsInvalid."""
    with _only_one(settings):
        must_have_key(settings)
        settings = _with_free_port(settings)
        asked_to_stop = _on_signals()
        system = System(settings)
        try:
            system.start()
            system.wait_until_ready(asked_to_stop)
            yield system, asked_to_stop
        finally:
            system.stop()


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Holds the data dir's lock. Raises: SettingsInvalid when another process does."""
    make_data_dir(settings.data_dir)
    with (settings.data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise SettingsInvalid(
                f"classiglot is running on {settings.data_dir} already (process {owner}); "
                "stop it first, or choose another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _with_free_port(settings: Settings) -> Settings:
    """Complains of a taken port before anything is started; port 0 becomes a free one."""
    with listen(settings.host, settings.port) as probe:
        return settings.model_copy(update={"port": probe.getsockname()[1]})


def _on_signals() -> threading.Event:
    asked_to_stop = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return asked_to_stop
