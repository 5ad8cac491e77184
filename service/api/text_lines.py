"""The texts of a prediction too long for one JSON body: NDJSON, CSV, TSV or a workbook, read from a file row by row."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import IO

from service.api.text_rows import Fault, Row, Rows, why_no_text
from service.api.text_tables import read_table, read_workbook
from service.datasets.formats import EXTENSION_OF_TYPE
from service.datasets.json_text import parse_json
from service.datasets.lines import bounded_lines, row_bytes
from service.errors import ClassiglotError, Unreadable

NDJSON = tuple(kind for kind, extension in EXTENSION_OF_TYPE.items() if extension == ".jsonl")
TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
WORKBOOK = next(kind for kind, extension in EXTENSION_OF_TYPE.items() if extension == ".xlsx")
MEDIA_TYPES = (*NDJSON, *TABLES, WORKBOOK)


def read_rows(file: IO[bytes], media_type: str, longest: int) -> Rows:
    """`longest`: bytes of a text. Raises at once: Unreadable, when no row or text column is there; and what
    `read_table` and `read_workbook` do."""
    if media_type == WORKBOOK:
        found = read_workbook(file)
    elif media_type in TABLES:
        found = read_table(file, TABLES[media_type], longest)
    else:
        found = Rows(_of_ndjson(file, longest))
    first = next(found.rows, None)
    if first is None:
        raise Unreadable("there is no text in the body; send one in each line or row")
    return replace(found, rows=(_checked(row, longest) for row in chain([first], found.rows)))


def _checked(row: Row, longest: int) -> Row:
    fault = None if isinstance(row.text, Fault) else why_no_text(row.text, longest)
    return replace(row, text=fault) if fault else row


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
