"""How much memory a process takes, as the kernel counts it."""

from pathlib import Path


def peak_bytes(pid: int) -> int:
    """The most resident memory since its start, or since `forget_peak`."""
    return _field(pid, "VmHWM")


def forget_peak(pid: int) -> int:
    """Counts anew from now; returns what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return resident_bytes(pid)


def resident_bytes(pid: int) -> int:
    return _field(pid, "VmRSS")


def _field(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def unlinked_files(pid: int) -> list[str]:
    """Temporary files that it holds open and that no folder names any more."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    found = [str(link.readlink()) for link in links if link.is_symlink()]
    return [name for name in found if name.endswith("(deleted)")]
