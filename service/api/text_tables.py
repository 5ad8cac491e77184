"""The column `text` of a table, CSV, TSV or a workbook's sheet, read from a file row by row."""

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import IO

from service.api.text_rows import Fault, Row, Rows
from service.datasets.json_text import MOST_VALUES
from service.datasets.lines import TableLines, row_bytes, trimmed
from service.datasets.tables import open_table, why_not_a_row, why_unread
from service.datasets.workbook_rows import MOST_COLUMNS, MOST_ROWS, Bounds
from service.datasets.workbook_rows import Row as SheetRow
from service.datasets.workbooks import NAMELESS, SheetRefused, read_sheet, why_error
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


def read_workbook(file: IO[bytes]) -> Rows:
    """Its sheet with a column `text`, which takes the workbook's place in the file.

    Raises: Unreadable, UnsupportedMedia, Unacceptable, Overloaded."""
    try:
        said = read_sheet(file, "the body", Bounds(MOST_ROWS, MOST_COLUMNS, MOST_VALUES))
    except SheetRefused as refused:
        message = f"the workbook was refused: it {refused}"
        raise Unacceptable(message, details=[Detail(str(refused))]) from None
    file.seek(0)
    file.truncate()
    file.write(said)
    file.seek(0)
    rows: Iterator[SheetRow] = map(json.loads, file)
    begin, names = next(rows, (0, []))
    header = [name.strip() for name in names]
    return Rows(_rows_of_sheet(rows, begin, header, _place_of_text(header)), header, ",", marked=True, shown=True)


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
        message = f"the table was refused in line {lines.begin}: {why}"
        raise Unacceptable(message, details=[Detail(why, line=lines.begin)]) from None


def _place_of_text(header: Sequence[str]) -> int:
    lower = [name.casefold() for name in header]
    if lower.count("text") != 1:
        raise Unreadable("the first row must be a header with exactly one column `text`")
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
        return Row(Fault(why_not_a_row(cells, header, delimiter)), _as_many(cells, header))
    return Row(cells[place], cells)


def _rows_of_sheet(rows: Iterator[SheetRow], last: int, header: list[str], place: int) -> Iterator[Row]:
    """Empty rows have been passed over, but in the table that comes back each row has the place that it had."""
    nothing = [""] * len(header)
    for number, filled in rows:
        yield from repeat(Row("", nothing), number - last - 1)
        last = number
        cells = _as_many(filled, header)
        fault = NAMELESS if len(filled) > len(header) else why_error(cells[place])
        yield Row(Fault(fault) if fault else cells[place], cells)


def _as_many(cells: list[str], header: list[str]) -> list[str]:
    return list(islice(chain(cells, repeat("")), len(header)))
