"""Starting, watching and ending child processes so that none is ever left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_SECRETS = ("DATABASE_URL", "BROKER_URL", "AWS_")  # how their names begin


def die_with_parent(parent: int, death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Asks Linux to end this process with its parent. Elsewhere nothing is done.

    Set in the child itself, and then the parent is looked at: it may have died before.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal.value, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours. `-P`: the current folder may hold anything, a `worker.py` for one."""
    return [sys.executable, "-P", "-m", module, *arguments]


def without_secrets() -> dict[str, str]:
    """The environment of a process that needs neither database nor broker nor bucket."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}


def start(command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a command in a session of its own (a Ctrl-C reaches its parent only) that dies with this process."""
    return subprocess.Popen(dying_with_us(command), env=env, start_new_session=True, stdin=subprocess.DEVNULL)


def dying_with_us(command: Sequence[str], niceness: int = 0) -> list[str]:
    """The same command by way of a launcher, which makes it nicer by `niceness` and ties it to this process before its
    first line runs. On Linux to the very thread that starts it: that one must live as long."""
    return python("service.processes", str(os.getpid()), str(niceness), *command)


def end(*processes: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """One SIGTERM to each at once, one grace for all, then SIGKILL to the whole group of whatever is left.

    One signal, because programs take a second for impatience: Celery and uvicorn would drop what they finish.
    """
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in running:
        try:
            process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":  # the launcher: a program that knows nothing of this still dies with its parent
    die_with_parent(int(sys.argv[1]))
    os.nice(int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])
