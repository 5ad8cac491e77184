"""A deployment of real processes: broker, services and workers that know each other by their environment alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis

from parts.ports import free_port
from parts.tiny_models import build_tiny_checkpoint
from parts.toy_text import choosing, columns
from service import processes
from service.jobs.embedded_broker import find_server
from service.settings import read_settings
from service.store import events, jobs
from service.store.database import Database
from service.store.records import DEFAULT_PROJECT, EventRecord, JobRecord
from service.store.remote_artifacts import open_artifacts
from worker.process import RUN_ENVIRONMENT

ROOT = Path(__file__).parents[2]
Environment = dict[str, str]


def wait_until(what: Callable[[], object], seconds: float, otherwise: Callable[[], object] = lambda: "") -> float:
    """Returns how many seconds it took. Raises: AssertionError that says `otherwise`, after a look that began when
    time was up: a machine may stand still for longer than a look takes."""
    began = time.monotonic()
    while True:
        is_over = time.monotonic() - began >= seconds
        if what():
            return time.monotonic() - began
        assert not is_over, otherwise()
        time.sleep(0.05)


class Part:
    """One process of the deployment, in a session of its own; it dies with the tests."""

    def __init__(self, command: list[str], environment: Environment, log: Path) -> None:
        self.began = time.monotonic()
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                processes.dying_with_us(command),
                env=environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60) -> float:
        """Asks it to end; returns how long that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(seconds)
        return time.monotonic() - began

    def alive(self) -> bool:
        return self.process.poll() is None


class Deployment:
    """Starts with a broker only. Settings are variables of the environment; `database_url` None is SQLite."""

    def __init__(self, root: Path, database_url: str | None = None, **settings: object) -> None:
        self.root, self.log = root, root / "log"
        self.api_port, self.broker_port = free_port(), free_port()
        self.database_url = database_url or f"sqlite:///{root}/database/classiglot.sqlite3"
        self.environment: Environment = os.environ | {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "DATABASE_URL": self.database_url,
            "BROKER_URL": f"redis://127.0.0.1:{self.broker_port}/0",
            "ARTIFACTS_URL": str(root / "artifacts"),
            "BASE_MODELS_DIR": str(root / "base-models"),
            "THREADS": "1",
            "LEASE_SECONDS": "6",
            "SWEEP_SECONDS": "1",
        }
        self.environment |= {name.upper(): str(value) for name, value in settings.items()}
        build_tiny_checkpoint("roberta-base", root / "base-models" / "roberta-base")
        self.parts: list[Part] = []
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=30)
        self.database = Database(self.database_url)
        own = read_settings(artifacts_url=self.environment["ARTIFACTS_URL"], data_dir=root / "data-tests")
        self.artifacts = open_artifacts(own)
        self.project = DEFAULT_PROJECT
        self.start_broker()

    # -- parts ------------------------------------------------------------------------------------------

    def start_broker(self) -> Part:
        """Again on the same port, and empty, after it was killed."""
        options = ["--port", str(self.broker_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.root)]
        self.broker = self.start([find_server(), *options, "--loglevel", "warning"])
        return self.broker

    def broker_client(self) -> redis.Redis:
        return redis.Redis(port=self.broker_port)

    def start_api(self, port: int | None = None, **settings: object) -> Part:
        """Returns at once; see `wait_for_api`."""
        return self.start_python("service.cli", "api", port=port or self.api_port, **settings)

    def wait_for_api(self, client: httpx.Client | None = None, seconds: float = 60) -> None:
        wait_until(lambda: is_ready(client or self.client), seconds, self.tail)

    def start_worker(self, **settings: object) -> Part:
        return self.start_python("worker", **settings)

    def start_light_worker(self, **settings: object) -> Part:
        """A worker whose runs train nothing and take a moment: for what is about queues, not about training."""
        return self.start_python("parts.worker_of", run_program="parts.light_run", **settings)

    def start_forking_worker(self, **settings: object) -> Part:
        """A worker whose runs are real but begin at once: for many that end soon."""
        place = {"nursery": self.root / "nursery"}
        self.start_python("parts.nursery", **RUN_ENVIRONMENT, **place)
        return self.start_python("parts.worker_of", run_program="parts.forked_run", **settings, **place)

    def start_python(self, module: str, *arguments: str, **settings: object) -> Part:
        return self.start([sys.executable, "-m", module, *arguments], **settings)

    def start(self, command: list[str], **settings: object) -> Part:
        changed = {name.upper(): str(value) for name, value in settings.items()}
        changed["DATA_DIR"] = str(self.root / f"data-{len(self.parts)}")  # nothing is shared but what the settings say
        part = Part(command, self.environment | changed, self.log)
        self.parts.append(part)
        return part

    def stop(self) -> None:
        """Ends everything, whatever a test left it in; no process of it is alive afterwards."""
        self.client.close()
        self.database.close()
        for part in reversed(self.parts):
            if part.alive():
                part.signal(signal.SIGCONT)
                part.process.terminate()
        for part in self.parts:
            try:
                part.process.wait(40)
            except subprocess.TimeoutExpired:
                part.kill()
        wait_until(lambda: self.processes() == [], 5, self.processes)

    def processes(self) -> list[str]:
        """Command lines of everything alive that was started with this deployment's settings."""
        mark = self.environment["ARTIFACTS_URL"].encode()
        return [words.decode() for _, words, environment in running() if mark in environment]

    def make_key(self, project: str, scopes: str = "read,train,predict", *more: str) -> dict[str, str]:
        """The header of a key of that project, made by the command line. From now on every request needs one."""
        made = self.keys("create", "--name", "test", "--scopes", scopes, "--project", project, *more)
        return {"Authorization": f"Bearer {made}"}

    def keys(self, *words: str) -> str:
        """What `classiglot keys` says."""
        command = [sys.executable, "-m", "service.cli", "keys", *words]
        environment = self.environment | {"DATA_DIR": str(self.root / "data-keys")}
        said = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        return said.stdout.strip()

    # -- what it holds --------------------------------------------------------------------------------------

    def submit(self, dataset_id: str | None = None, **asked: Any) -> str:
        """A job on a tiny model; `name` and `base_model` are the job's, all else hyperparameters. Returns its id."""
        dataset_id = dataset_id or self.upload()
        body: dict[str, Any] = {"dataset_id": dataset_id, "base_model": "roberta-base"}
        body |= {field: asked.pop(field) for field in ("name", "base_model") if field in asked}
        quick = {"learning_rate": 2e-3, "num_epochs": 3, "max_length": 64, "batch_size": 16}
        job = self.client.post("/jobs", json=body | {"hyperparameters": quick | asked})
        assert job.status_code == 202, job.text
        return str(job.json()["id"])

    def upload(self, body: dict[str, Any] | None = None) -> str:
        body = body or {"name": "toys", "language": "english", "train": columns(*choosing(120))}
        dataset = self.client.post("/datasets", json=body)
        assert dataset.status_code == 201, dataset.text
        return str(dataset.json()["id"])

    def job(self, job_id: str) -> JobRecord:
        """The row itself, so that it can be read while no service is there."""
        with self.database.read() as tx:
            job = jobs.get(tx, self.project, job_id)
        assert job is not None
        return job

    def events(self, job_id: str) -> list[EventRecord]:
        with self.database.read() as tx:
            return events.page(tx, self.project, job_id, 10_000, 0).data

    def resumed_steps(self, job_id: str) -> list[int]:
        """After which step each attempt but the first went on."""
        return [int(words.split()[3]) for words in self.messages(job_id) if words.startswith("resumed after step")]

    def messages(self, job_id: str) -> list[str]:
        return [event.message for event in self.events(job_id)]

    def wait_for(self, job_id: str, what: Callable[[JobRecord], object], seconds: float = 60) -> float:
        return wait_until(lambda: what(self.job(job_id)), seconds, lambda: (self.job(job_id), self.tail()))

    def wait_for_status(self, job_id: str, status: str, seconds: float = 60) -> float:
        return self.wait_for(job_id, lambda job: job.status == status, seconds)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def wait_for_ready(client: httpx.Client, part: Part, seconds: float = 60) -> None:
    """Raises: AssertionError with the log, at once where the part has ended."""

    def look() -> bool:
        assert part.alive(), part.log.read_text(errors="replace")
        return is_ready(client)

    wait_until(look, seconds, lambda: part.log.read_text(errors="replace"))


def running() -> list[tuple[int, bytes, bytes]]:
    """Id, command line and environment of every process that is alive and ours to see."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = _words(path), (path / "environ").read_bytes()
        except OSError:
            continue
        found.append((int(path.name), words, environment))
    return found


def _words(process: Path) -> bytes:
    """The command line. One that begins to execute has none for a moment, but a program already.

    Raises: OSError, of one that is dead, or the kernel's; TimeoutError of one that is held in that moment.
    """
    until = time.monotonic() + 1
    while not (words := (process / "cmdline").read_bytes()):
        (process / "exe").readlink()
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.001)
    return words


def runs_of(worker: Part) -> list[int]:
    """Training runs of a worker, real or light, from their launcher on."""
    own = str(worker.pid).encode()
    return [
        pid
        for pid, words, _ in running()
        if {b"worker.child", b"parts.light_run"} & set(words.split(b"\0")) and own in words.split(b"\0")
    ]


def is_alive(pid: int) -> bool:
    return any(own == pid for own, _, _ in running())
