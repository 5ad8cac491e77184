"""Lines of a file that may hold anything, in bounded memory."""

import csv
import io
import re
from collections.abc import Iterator
from typing import IO


def row_bytes(text_bytes: int) -> int:
    """The longest row, in bytes, where a text may have so many: JSON may write a byte as six, and there are other
    columns."""
    return 8 * text_bytes


def past_blanks(data: bytes) -> IO[bytes]:
    """To be read from where it says something: there may be nothing but line ends."""
    file = io.BytesIO(data)
    file.seek(begin.start() if (begin := re.search(rb"\S", data)) else len(data))
    return file


def bounded_lines(file: IO[bytes], longest: int) -> Iterator[bytes | None]:
    """Lines of at most `longest` bytes; None for a longer one, which is never in memory as a whole."""
    while line := file.readline(longest):
        if len(line) < longest or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(longest)) and not rest.endswith(b"\n"):
            pass
        yield None


def trimmed(cells: list[str], least: int) -> list[str]:
    """Without empty cells at the end, down to `least`."""
    while len(cells) > least and not cells[-1].strip():
        cells.pop()
    return cells


class TableLines:
    """What a CSV reader reads; at each row call `end_row`. One that has `read` too much since its last row is refused:
    it is looking for the end of a quotation, and would take the whole file into memory.

    Raises: csv.Error; UnicodeDecodeError.
    """

    def __init__(self, file: IO[bytes], longest: int) -> None:
        self._lines = bounded_lines(file, longest)
        self._longest = longest
        self._encoding = "utf-8-sig"
        self.read = 0
        self.number = 0  # of the line read last
        self.begin = 1  # the line in which the row that is read now begins
        self.row_end = 0  # bytes up to the end of the row read last

    def end_row(self) -> None:
        self.row_end += self.read
        self.read = 0
        self.begin = self.number + 1

    def __iter__(self) -> "TableLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.read += len(line or b"")
        if line is None or self.read > self._longest:
            raise csv.Error(f"the row is too long, more than {self._longest} bytes")
        text = line.decode(self._encoding)
        self._encoding = "utf-8"
        self.number += 1
        return text
