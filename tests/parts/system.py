"""The whole system as a user starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from parts.deployment import running
from service.serve import listen


class Up:
    """`classiglot up` on a data dir."""

    def __init__(self, data_dir: Path) -> None:
        with listen("127.0.0.1", 0) as probe:
            self.port = probe.getsockname()[1]
        self.data_dir = data_dir
        self.log = data_dir.parent / "up.log"
        self.began = time.monotonic()
        command = [sys.executable, "-m", "service.cli", "up", "--port", str(self.port), "--data-dir", str(data_dir)]
        with self.log.open("ab") as log:
            # the real thing: every thread that the machine has, unlike the rest of the suite
            environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.seconds_until_ready = self._wait()

    def _wait(self) -> float:
        while time.monotonic() - self.began < 60:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.client.get("/health/ready").status_code == 200:
                    return time.monotonic() - self.began
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(60)

    def processes(self) -> list[str]:
        """Command lines of everything that runs on this data dir or was started by it."""
        mark = str(self.data_dir).encode()
        return [
            words.replace(b"\0", b" ").decode() for _, words, environment in running() if mark in environment + words
        ]
