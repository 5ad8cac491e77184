"""What a service does for its clients when it is asked to stop."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from parts.toy_text import choosing, columns
from service.serve import listen


def start_api(root: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    """The service alone, on its embedded defaults; no broker and no worker, so jobs stay queued."""
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service.cli", "api", "--port", str(port), "--data-dir", str(root / "data")]
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    for _ in range(300):
        try:
            if client.get("/health/ready").status_code == 200:
                return process, client
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError((root / "log").read_text())


def test_open_event_streams_end_and_do_not_hold_the_stop_up(tmp_path: Path) -> None:
    process, client = start_api(tmp_path)
    body = {"name": "toys", "train": columns(*choosing(30))}
    dataset = client.post("/datasets", json=body).json()
    job = client.post("/jobs", json={"dataset_id": dataset["id"]}).json()
    lines: list[str] = []
    ended = threading.Event()

    def listen_to_events() -> None:
        address, accept = f"/jobs/{job['id']}/events", {"Accept": "text/event-stream"}
        with client.stream("GET", address, headers=accept) as stream:
            lines.extend(stream.iter_lines())
        ended.set()

    thread = threading.Thread(target=listen_to_events)
    thread.start()
    time.sleep(1)
    assert not ended.is_set()
    began = time.monotonic()
    process.terminate()
    assert ended.wait(5)
    process.wait(20)
    assert time.monotonic() - began < 15
    thread.join()
    client.close()
    assert any('"message":"queued"' in line for line in lines)
