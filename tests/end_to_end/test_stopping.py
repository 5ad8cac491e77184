"""What a service does for its clients when it is asked to stop."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from parts.deployment import Part, wait_for_ready, wait_until
from parts.ports import free_port
from parts.toy_text import choosing, columns


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[Part, httpx.Client]]:
    """The service alone, on its embedded defaults; no broker and no worker, so jobs stay queued."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "api", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    part = Part(command, dict(os.environ), tmp_path / "log")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for_ready(client, part)
            yield part, client
    finally:
        part.kill()


def test_open_event_streams_end_and_do_not_hold_the_stop_up(api: tuple[Part, httpx.Client]) -> None:
    part, client = api
    dataset = client.post("/datasets", json={"name": "toys", "train": columns(*choosing(30))}).json()
    job = client.post("/jobs", json={"dataset_id": dataset["id"]}).json()
    lines: list[str] = []

    def listen_to_events() -> None:
        address, accept = f"/jobs/{job['id']}/events", {"Accept": "text/event-stream"}
        with client.stream("GET", address, headers=accept) as stream:
            for line in stream.iter_lines():
                lines.append(line)  # noqa: PERF402  (as it comes)

    listener = threading.Thread(target=listen_to_events, daemon=True)
    listener.start()
    wait_until(lambda: any('"message":"queued"' in line for line in lines), 30)
    assert listener.is_alive()
    began = time.monotonic()
    part.process.terminate()
    listener.join(5)
    assert not listener.is_alive()
    part.process.wait(20)
    assert time.monotonic() - began < 15
