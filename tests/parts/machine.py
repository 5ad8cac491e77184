"""What the machine under the tests really gives."""

from pathlib import Path


class StolenTime:
    """The share of processor time that a virtual machine asked for and did not get, since this was made: the eighth
    figure of /proc/stat (`man 5 proc_stat`), 0 on a machine of one's own."""

    def __init__(self) -> None:
        self._before = _times()

    def share(self) -> float:
        spent = [after - before for after, before in zip(_times(), self._before, strict=True)]
        busy = sum(spent) - spent[3] - spent[4]  # all but idle and waiting for disks
        return spent[7] / max(1, busy)


def _times() -> list[int]:
    """Of all processors since the start, in hundredths of a second; guests are part of the first."""
    return [int(value) for value in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
