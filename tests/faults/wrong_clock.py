"""The environment of a process whose wall clock is wrong.

Injected into Python, where all our clock calls are: libfaketime makes `time.sleep` fail where the monotonic clock is
to stay right.
"""

from pathlib import Path

INJECTED = """
import time
OFF = {seconds}
time.time = (lambda right: lambda: right() + OFF)(time.time)
time.time_ns = (lambda right: lambda: right() + OFF * 10**9)(time.time_ns)
"""


def wrong_by(hours: int, folder: Path, python_path: str) -> dict[str, str]:
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(INJECTED.format(seconds=hours * 3600))
    return {"pythonpath": f"{folder}:{python_path}"}
