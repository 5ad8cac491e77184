"""Services, a broker and workers of the product as processes of their own, on databases that the caller has."""

import http.client
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.product import BenchmarkFailed
from service import processes
from service.jobs.embedded_broker import start_broker
from service.serve import listen
from service.settings import Settings
from service.store.database import Database

READY_SECONDS = 120


def ask(client: http.client.HTTPConnection, method: str, path: str, body: object = None) -> None:
    """Over a connection of its own, because a service hangs up on those that wait for others' turns.

    Raises: BenchmarkFailed when the answer is no success; OSError when there is none.
    """
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        client.request(method, path, json.dumps(body) if body else None, headers)
        answer = client.getresponse()
        content = answer.read()
    finally:
        client.close()
    if answer.status not in (200, 202):
        raise BenchmarkFailed(f"{method} {path} answered {answer.status}: {content[:300]!r}")


@contextmanager
def running_broker(folder: Path) -> Iterator[str]:
    settings = Settings(data_dir=folder)
    broker = start_broker(settings)
    try:
        yield settings.queue_url
    finally:
        processes.end(broker, grace_seconds=5)


@contextmanager
def running_service(database: Database, folder: Path, broker: str) -> Iterator[http.client.HTTPConnection]:
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service.cli", "api", "--port", str(port)]
    service = processes.start(command, environment(database, folder, broker))
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(client):
            if time.monotonic() > deadline:
                raise BenchmarkFailed("a service did not become ready; its log above says why")
            time.sleep(0.2)
        ask(client, "GET", "/info")  # answered when the libraries are there, which load in the background
        yield client
    finally:
        client.close()
        processes.end(service, grace_seconds=30)


def _ready(client: http.client.HTTPConnection) -> bool:
    try:
        ask(client, "GET", "/health/ready")
    except (OSError, BenchmarkFailed):
        return False
    return True


@contextmanager
def running_idle_worker(database: Database, folder: Path, broker: str, idle_seconds: float) -> Iterator[None]:
    wanted = environment(database, folder, broker) | {"IDLE_SECONDS": str(idle_seconds)}
    worker = processes.start([sys.executable, "-m", "benchmarks.idle_worker"], wanted)
    try:
        yield
    finally:
        processes.end(worker, grace_seconds=30)


def environment(database: Database, folder: Path, broker: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": database.url.render_as_string(hide_password=False),
        "BROKER_URL": broker,
        "DATA_DIR": str(folder),
        "QUOTA_JOBS": "none",
        "LOG_LEVEL": "error",
    }
