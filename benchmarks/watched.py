"""A running product seen from outside: its processes, their memory, the processor time of their threads (Linux)."""

import os
from pathlib import Path

from benchmarks.product import BenchmarkFailed

_TICKS = os.sysconf("SC_CLK_TCK")


def find_process(port: int, module: str) -> int:
    """The process of the product on that port that runs that module. Raises: BenchmarkFailed."""
    mark = f"PORT={port}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        own = words.split(b"\0")
        if mark in variables.split(b"\0") and own[1:4] == [b"-P", b"-m", module.encode()]:
            return int(folder.name)
    raise BenchmarkFailed(f"no process runs {module} for port {port}")


def resident_bytes(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def thread_seconds(process: int) -> dict[int, float]:
    """Of each thread by its id; the main thread's is the process's."""
    found = {}
    for folder in Path(f"/proc/{process}/task").iterdir():
        fields = (folder / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        found[int(folder.name)] = (int(fields[11]) + int(fields[12])) / _TICKS  # user and system, proc(5)
    return found


def outside_engine(spent: dict[int, float], main_thread: int, engine_threads: int) -> float:
    """The share of the seconds that were spent in other threads than the engine's, the busiest but for the main one."""
    others = sorted((seconds for thread, seconds in spent.items() if thread != main_thread), reverse=True)
    return 1 - sum(others[:engine_threads]) / sum(spent.values())
