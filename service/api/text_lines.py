"""The texts of a prediction too long for one JSON body: NDJSON, CSV or TSV, read from a file piece by piece."""

import csv
from collections.abc import Iterator
from itertools import chain, repeat
from typing import IO

from service.datasets.checks import why_unsafe
from service.datasets.json_text import parse_json
from service.datasets.lines import TableLines, bounded_lines, row_bytes
from service.datasets.tables import open_table, told, trimmed, why_not_a_row
from service.errors import ClassiglotError, Unreadable

NDJSON = ("application/x-ndjson", "application/jsonl", "application/ndjson")
TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
MEDIA_TYPES = (*NDJSON, *TABLES)


class Fault(str):
    """What is wrong with a row that holds no text to classify."""


def read_texts(file: IO[bytes], media_type: str, longest: int) -> Iterator[str | Fault]:
    """One entry a row. `longest`: bytes of a text. Raises: Unreadable at once, when no row or text column is there."""
    rows = _of_table(file, TABLES[media_type], longest) if media_type in TABLES else _of_ndjson(file, longest)
    first = next(rows, None)
    if first is None:
        raise Unreadable("there is no text in the body; send one a line")
    return (row if isinstance(row, Fault) else why_no_text(row, longest) or row for row in chain([first], rows))


def why_no_text(text: str, longest: int) -> Fault | None:
    """None for a text that can be classified."""
    if not text.strip():
        return Fault("is empty")
    if len(text) > longest // 4 and len(text.encode("utf-8", "surrogatepass")) > longest:
        return Fault(f"is longer than {longest} bytes")
    fault = why_unsafe(text)
    return Fault(fault) if fault else None


def _of_ndjson(file: IO[bytes], longest: int) -> Iterator[str | Fault]:
    """Empty lines are passed over."""
    for line in bounded_lines(file, row_bytes(longest)):
        if line is None:
            yield Fault(f"is longer than {row_bytes(longest)} bytes")
        elif line.strip():
            yield _text_of_line(line)


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


def _of_table(file: IO[bytes], delimiter: str, longest: int) -> Iterator[str | Fault]:
    """What `service.datasets` reads, without labels. An empty line is the row of a spreadsheet's empty cell."""
    lines = TableLines(file, row_bytes(longest))
    try:
        names, delimiter, rows = open_table(lines, delimiter)
        header = [name.casefold() for name in names]
        if header.count("text") != 1:
            raise Unreadable("the first line must be a header with exactly one column `text`")
        empty = 0  # lines that are no rows where the file ends with them
        for cells in rows:
            lines.end_row()
            if cells != [""] and not any(map(str.strip, cells)):
                empty += 1
                continue
            yield from repeat("", empty)
            empty = 0
            yield _text_of_cells(trimmed(cells, len(header)), header, delimiter)
    except csv.Error as error:
        yield Fault(f"line {lines.number}: {told(error)}; nothing after it was read")
    except UnicodeDecodeError:
        yield Fault("is not UTF-8, and nothing after it was read; save the file as UTF-8 and send it again")


def _text_of_cells(cells: list[str], header: list[str], delimiter: str) -> str | Fault:
    """With a cell more or less the text may have been cut in two, or another be in its place."""
    if len(cells) != len(header):
        return Fault(why_not_a_row(cells, header, delimiter))
    return cells[header.index("text")]
