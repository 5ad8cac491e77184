"""The whole system as a user starts it."""

import os
import signal
import sys
import time
from pathlib import Path

import httpx

from parts.deployment import Part, running, wait_for_ready
from parts.ports import free_port


class Up:
    """`classiglot up` on a data dir."""

    def __init__(self, data_dir: Path) -> None:
        self.port, self.data_dir, self.log = free_port(), data_dir, data_dir.parent / "up.log"
        command = [sys.executable, "-m", "service.cli", "up", "--port", str(self.port), "--data-dir", str(data_dir)]
        # the real thing: every thread that the machine has, unlike the rest of the suite
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        part = Part(command, environment, self.log)
        self.process = part.process
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        try:
            wait_for_ready(self.client, part)
        except BaseException:
            self.kill()
            raise
        self.seconds_until_ready = time.monotonic() - part.began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        """Again is no error."""
        self.client.close()
        self.process.kill()
        self.process.wait()

    def processes(self) -> list[str]:
        """Command lines of everything that runs on this data dir or was started by it."""
        mark = str(self.data_dir).encode()
        return [
            words.replace(b"\0", b" ").decode() for _, words, environment in running() if mark in environment + words
        ]
