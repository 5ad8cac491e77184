"""The texts of a prediction too long for one JSON body: NDJSON, CSV or TSV, read from a file piece by piece."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from typing import IO

from service.datasets.checks import why_unsafe
from service.datasets.formats import EXTENSION_OF_TYPE
from service.datasets.json_text import parse_json
from service.datasets.lines import TableLines, bounded_lines, row_bytes, trimmed
from service.datasets.tables import open_table, told, why_not_a_row
from service.errors import ClassiglotError, Unreadable

NDJSON = tuple(kind for kind, extension in EXTENSION_OF_TYPE.items() if extension == ".jsonl")
TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
MEDIA_TYPES = (*NDJSON, *TABLES)


class Fault(str):
    """What is wrong with a row that holds no text to classify."""


@dataclass(frozen=True, slots=True)
class Row:
    """`cells`: all of a table's row, as many as its header has."""

    text: str | Fault
    cells: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """`header`, `delimiter` and whether there is a byte order mark, which Excel wants, are a table's."""

    rows: Iterator[Row]
    header: Sequence[str] = ()
    delimiter: str = ""
    marked: bool = False


def read_rows(file: IO[bytes], media_type: str, longest: int) -> Rows:
    """`longest`: bytes of a text. Raises: Unreadable at once, when no row or text column is there."""
    found = _of_table(file, TABLES[media_type], longest) if media_type in TABLES else Rows(_of_ndjson(file, longest))
    first = next(found.rows, None)
    if first is None:
        raise Unreadable("there is no text in the body; send one a line")
    return replace(found, rows=(_checked(row, longest) for row in chain([first], found.rows)))


def _checked(row: Row, longest: int) -> Row:
    fault = None if isinstance(row.text, Fault) else why_no_text(row.text, longest)
    return replace(row, text=fault) if fault else row


def why_no_text(text: str, longest: int) -> Fault | None:
    """None for a text that can be classified."""
    if not text.strip():
        return Fault("is empty")
    if len(text) > longest // 4 and len(text.encode("utf-8", "surrogatepass")) > longest:
        return Fault(f"is longer than {longest} bytes")
    fault = why_unsafe(text)
    return Fault(fault) if fault else None


def _of_ndjson(file: IO[bytes], longest: int) -> Iterator[Row]:
    """Empty lines are passed over."""
    for line in bounded_lines(file, row_bytes(longest)):
        if line is None:
            yield Row(Fault(f"is longer than {row_bytes(longest)} bytes"))
        elif line.strip():
            yield Row(_text_of_line(line))


def _text_of_line(line: bytes) -> str | Fault:
    try:
        value = parse_json(line, "the line")
    except ClassiglotError as error:
        return Fault(error.message)
    texts = [value]
    if isinstance(value, dict):
        texts = [text for name, text in value.items() if name.casefold() == "text"]
    is_one = len(texts) == 1 and isinstance(texts[0], str)
    return texts[0] if is_one else Fault('must be {"text": "…"} or a string')


def _of_table(file: IO[bytes], delimiter: str, longest: int) -> Rows:
    """What `service.datasets` reads, without labels."""
    marked = file.read(len(BOM_UTF8)) == BOM_UTF8
    file.seek(0)
    lines = TableLines(file, row_bytes(longest))
    try:
        header, delimiter, cells = open_table(lines, delimiter)
    except (csv.Error, UnicodeDecodeError) as error:
        return Rows(iter([Row(_why_unread(error, lines))]))
    lower = [name.casefold() for name in header]
    if lower.count("text") != 1:
        raise Unreadable("the first line must be a header with exactly one column `text`")
    return Rows(_rows(lines, cells, header, delimiter, lower.index("text")), header, delimiter, marked)


def _rows(lines: TableLines, rows: Iterator[list[str]], header: list[str], delimiter: str, place: int) -> Iterator[Row]:
    """An empty line is the row of a spreadsheet's empty cell."""
    nothing = [""] * len(header)
    empty = 0  # lines that are no rows where the file ends with them
    try:
        for cells in rows:
            lines.end_row()
            if cells != [""] and not any(map(str.strip, cells)):
                empty += 1
                continue
            yield from repeat(Row("", nothing), empty)
            empty = 0
            yield _row_of_cells(trimmed(cells, len(header)), header, delimiter, place)
    except (csv.Error, UnicodeDecodeError) as error:
        yield Row(_why_unread(error, lines), nothing)


def _why_unread(error: csv.Error | UnicodeDecodeError, lines: TableLines) -> Fault:
    if isinstance(error, csv.Error):
        return Fault(f"line {lines.number}: {told(error)}; nothing after it was read")
    return Fault("is not UTF-8, and nothing after it was read; save the file as UTF-8 and send it again")


def _row_of_cells(cells: list[str], header: list[str], delimiter: str, place: int) -> Row:
    """With a cell more or less the text may have been cut in two, or another be in its place."""
    if len(cells) != len(header):
        fault = Fault(why_not_a_row(cells, header, delimiter))
        return Row(fault, list(islice(chain(cells, repeat("")), len(header))))
    return Row(cells[place], cells)
