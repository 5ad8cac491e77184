"""The process that reads a workbook (`.xlsx`, ISO/IEC 29500): bytes in, rows of its one table out, as lines of JSON.

The first line holds the names of the sheets that have a column `text`; if it is not several, each further line is a
filled row, `[number, [cell, …]]`, the header first. Cells are written as a spreadsheet shows them; of a formula, what
it gave when the workbook was saved.

A small workbook can be made to take all memory and all time, in more ways than a look beforehand would find. So
openpyxl reads it (over defusedxml) in a process of its own, in bounds that the kernel keeps.
"""

import io
import json
import re
import resource
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, time
from itertools import islice
from typing import Any, TextIO

from service.datasets.lines import trimmed

MOST_ROWS = 2**20  # of a sheet, as spreadsheets have it; a number beyond it in the file would be counted up to
MOST_COLUMNS = 2**14  # likewise
TOO_LARGE, UNREADABLE = 3, 4  # exit statuses
_FOLDED = re.compile(r"_x00(09|0[aAdD])_")  # how such files write what XML's parsers would fold

Row = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what is read, and of the process. `rows`: no more than one over it are told. `columns`: of a wider row no more
    than one over it, the last."""

    rows: int
    columns: int
    cells: int
    characters: int = 50_000_000  # cells may share a text that is in the file once
    bytes: int = 1024**3  # of memory; 500,000 cells take a quarter
    seconds: int = 30  # of a processor; 500,000 cells take 10

    def words(self) -> list[str]:
        return [str(bound) for bound in asdict(self).values()]


class TooLarge(Exception):
    """More cells or characters than asked for."""


def main(bounds: Bounds) -> int:
    """Returns an exit status."""
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl does without, and starts in half the time
    import openpyxl  # noqa: F401 - that it is not there is not the workbook's fault

    for limit, most in ((resource.RLIMIT_AS, bounds.bytes), (resource.RLIMIT_CPU, bounds.seconds)):
        resource.setrlimit(limit, (most, most))
    warnings.simplefilter("ignore")  # of openpyxl: what it passes over, such as conditional formats
    try:
        write_table(io.BytesIO(sys.stdin.buffer.read()), sys.stdout, bounds)
    except (MemoryError, TooLarge):
        return TOO_LARGE
    except Exception as error:  # openpyxl raises whatever a part that is not as it should be makes it stumble over
        print(type(error).__name__, file=sys.stderr)
        return UNREADABLE
    return 0


def write_table(file: io.BytesIO, out: TextIO, bounds: Bounds) -> None:
    """Raises: TooLarge; whatever openpyxl does."""
    from openpyxl import load_workbook

    book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    sheets = {sheet.title: sheet for sheet in book.worksheets if sheet.sheet_state == "visible"}
    headers = {title: header for title, sheet in sheets.items() if (header := next(_rows(sheet, bounds), None))}
    with_text = [
        title for title, (_, cells) in headers.items() if "text" in (cell.strip().casefold() for cell in cells)
    ]
    print(json.dumps(with_text), file=out)
    if len(with_text) > 1 or not headers:
        return
    cells = characters = 0
    for number, row in islice(_rows(sheets[next(iter(with_text or headers))], bounds), bounds.rows + 2):
        cells, characters = cells + len(row), characters + sum(map(len, row))
        if cells > bounds.cells or characters > bounds.characters:
            raise TooLarge
        print(json.dumps([number, row]), file=out)


def _rows(sheet: Any, bounds: Bounds) -> Iterator[Row]:
    """Those that hold something, with their numbers from 1, without empty cells at the end."""
    sheet.reset_dimensions()  # what the file says of them; each row is as wide as its last cell then
    for number, values in enumerate(sheet.iter_rows(max_row=MOST_ROWS, values_only=True), 1):
        if cells := trimmed([_cell(value) for value in values], 0):
            yield number, cells if len(cells) <= bounds.columns else [*cells[: bounds.columns], cells[-1]]


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return _FOLDED.sub(lambda found: chr(int(found[1], 16)), value)
        case bool():
            return str(value).upper()
        case float():
            return f"{value:.15g}"  # as precise as spreadsheets are: 0.1 + 0.2 is 0.3
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime():
            return value.isoformat(" ")
    return str(value)


if __name__ == "__main__":
    status = main(Bounds(*map(int, sys.argv[1:])))
    sys.stdout.flush()
    sys.exit(status)
