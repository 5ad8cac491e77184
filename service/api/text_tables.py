"""The column `text` of a table, CSV or TSV, read from a file row by row."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import IO

from service.api.text_rows import Fault, Row, Rows
from service.datasets.lines import TableLines, row_bytes, trimmed
from service.datasets.tables import open_table, why_not_a_row, why_unread
from service.errors import Detail, Unacceptable, Unreadable


def read_table(file: IO[bytes], delimiter: str, longest: int) -> Rows:
    """What `service.datasets` reads, without labels. `longest`: bytes of a text. Raises: Unreadable, Unacceptable."""
    marked = file.read(len(BOM_UTF8)) == BOM_UTF8
    file.seek(0)
    _check_whole(TableLines(file, row_bytes(longest)), delimiter)
    file.seek(0)
    lines = TableLines(file, row_bytes(longest))
    header, delimiter, cells = open_table(lines, delimiter)
    return Rows(_rows(lines, cells, header, delimiter, _place_of_text(header)), header, delimiter, marked)


def _check_whole(lines: TableLines, delimiter: str) -> None:
    """Where a table cannot be read on, its rows behind that would get no answers, and a status of 200 would have been
    sent by then. Raises: Unreadable, Unacceptable."""
    try:
        header, _, rows = open_table(lines, delimiter)
        _place_of_text(header)
        for _ in rows:
            lines.end_row()
    except (csv.Error, UnicodeDecodeError) as error:
        why = why_unread(error)
        message = f"the table was refused in the row that begins in line {lines.begin}: {why}"
        raise Unacceptable(message, details=[Detail(why, line=lines.begin)]) from None


def _place_of_text(header: Sequence[str]) -> int:
    lower = [name.casefold() for name in header]
    if lower.count("text") != 1:
        raise Unreadable("the first line must be a header with exactly one column `text`")
    return lower.index("text")


def _rows(lines: TableLines, rows: Iterator[list[str]], header: list[str], delimiter: str, place: int) -> Iterator[Row]:
    """An empty line is the row of a spreadsheet's empty cell."""
    nothing = [""] * len(header)
    empty = 0  # lines that are no rows where the file ends with them
    for cells in rows:
        lines.end_row()
        if cells != [""] and not any(map(str.strip, cells)):
            empty += 1
            continue
        yield from repeat(Row("", nothing), empty)
        empty = 0
        yield _row_of_cells(trimmed(cells, len(header)), header, delimiter, place)


def _row_of_cells(cells: list[str], header: list[str], delimiter: str, place: int) -> Row:
    """With a cell more or less the text may have been cut in two, or another be in its place."""
    if len(cells) != len(header):
        fault = Fault(why_not_a_row(cells, header, delimiter))
        return Row(fault, list(islice(chain(cells, repeat("")), len(header))))
    return Row(cells[place], cells)
