"""What `classiglot up` does beside the main job, which `tests/end_to_end` runs."""

import os
import pty
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from parts.ports import free_port
from service.settings import Settings
from service.up import System, welcome


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def test_it_asks_its_own_service_not_the_environments_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")  # nobody is there
    monkeypatch.setattr("service.up.READY_SECONDS", 5)
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        system = System(settings.model_copy(update={"port": server.server_port}))
        system.wait_until_ready(threading.Event())
        server.shutdown()


def test_a_service_that_drains_is_given_the_time_for_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.up.GRACE_SECONDS", 0.5)
    end = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), exit(7)))"
    slow = f"import signal, time; {end}; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    system = System(settings.model_copy(update={"drain_seconds": 5.0}))
    system._add("service", lambda: process)
    system.stop()
    process.stdout.close()
    assert process.returncode == 7


def test_a_person_at_a_terminal_is_told_where_it_is_in_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, theirs = pty.openpty()
    with open(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        welcome("http://127.0.0.1:8000", settings)
        words = ""
        while "Ctrl-C" not in words:  # a terminal gives what it has by now, which may be the first line
            words += os.read(terminal, 4096).decode()
    os.close(terminal)
    assert "ready at http://127.0.0.1:8000\r\n" in words
    assert str(settings.data_dir) in words
