"""The forms in which a split may arrive, each turned into rows that are not yet checked.

`.json` and JSON bodies  {"Text": […], "Labels": […], "any other column": […]}
`.jsonl`                 {"text": "…", "label": "…"} or {"text": "…", "labels": ["…"]} a line
`.csv`, `.tsv`           a header with `text` and `label` or `labels`; several labels in a cell: a|b
Column names are compared without regard to case. Rows count from 0, lines of a file from 1.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from service.datasets.complaints import Complaints, shorten
from service.datasets.json_text import parse_json
from service.datasets.lines import TableLines, bounded_lines, row_bytes
from service.errors import ClassiglotError, UnsupportedMedia
from service.settings import Settings

EXTENSIONS = (".json", ".jsonl", ".csv", ".tsv")
SEPARATOR = "|"
_LABEL_COLUMNS = ("labels", "label")
MAX_COLUMNS, MAX_NAME = 100, 100  # of each table, and characters of a column's name: they are stored with every row
csv.field_size_limit(2**31 - 1)  # the limits are ours, and are checked with a message that names the row


@dataclass(frozen=True, slots=True)
class RawRow:
    text: object
    labels: object
    extra: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RawSplit:
    """Rows as they were sent. `cells`: labels are text cells, in which `|` may separate several."""

    rows: list[RawRow]
    cells: bool = False


def read_file(filename: str, data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """Reads one uploaded file by its extension; of lines, no more than one row over the limit: there may be no end.

    Raises: UnsupportedMedia, Unreadable.
    """
    extension = filename[filename.rfind(".") :].lower() if "." in filename else ""
    if extension == ".json":
        return read_columns(parse_json(data, f"the file for {split}"), split, complaints)
    if extension == ".jsonl":
        return read_jsonl(data, split, complaints, settings)
    if extension in (".csv", ".tsv"):
        return read_table(data, "," if extension == ".csv" else "\t", split, complaints, settings)
    raise UnsupportedMedia(f"the file for {split} must end in one of {', '.join(EXTENSIONS)}")


def read_columns(value: object, split: str, complaints: Complaints) -> RawSplit:
    """The tutorial's form: an object of lists of one length."""
    if not isinstance(value, dict):
        complaints.add('must be an object {"Text": […], "Labels": […]}', split=split)
        return RawSplit([])
    names = _find_columns(list(value), split, complaints)
    for name, column in value.items():
        if not isinstance(column, list):
            complaints.add("must be a list with one entry for each text", split=split, field=name)
    if names is None or complaints.count:
        return RawSplit([])
    text_name, label_name = names
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{shorten(name)} has {length}" for name, length in list(lengths.items())[:10])
        complaints.add(f"all lists must have one length, but {listed}", split=split, field=label_name)
        return RawSplit([])
    others = [name for name in value if name not in names]
    rows = zip(value[text_name], value[label_name], *(value[name] for name in others), strict=True)
    return RawSplit([RawRow(text, labels, dict(zip(others, rest, strict=True))) for text, labels, *rest in rows])


def read_jsonl(data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """One object a line; empty lines are passed over."""
    longest = row_bytes(settings.max_text_bytes)
    lines = (
        (n, line) for n, line in enumerate(bounded_lines(io.BytesIO(data), longest), 1) if line is None or line.strip()
    )
    rows: list[RawRow] = []
    for number, line in islice(lines, settings.max_rows + 1):
        row = RawRow(None, None, {})
        if line is None:
            complaints.add(f"line {number} is longer than {longest} bytes; cut its text", split=split, row=len(rows))
        else:
            try:
                row = _row_of_object(parse_json(line, f"line {number}"), number, split, len(rows), complaints)
            except ClassiglotError as error:
                complaints.add(error.message, split=split, row=len(rows))
        rows.append(row)
    return RawSplit(rows)


def _row_of_object(value: object, line: int, split: str, row: int, complaints: Complaints) -> RawRow:
    if not isinstance(value, dict):
        complaints.add(f'line {line} must be an object {{"text": …, "label": …}}', split=split, row=row)
    elif names := _find_columns(list(value), split, complaints, row=row):
        return _make_row(value, names)
    return RawRow(None, None, {})


def read_table(data: bytes, delimiter: str, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """CSV (RFC 4180) or TSV with a header line."""
    lines = TableLines(io.BytesIO(data), row_bytes(settings.max_text_bytes))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[RawRow] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        names = _find_columns(header, split, complaints)
        if names is not None:
            made = _rows_of_cells(reader, lines, header, names, split, complaints)
            rows.extend(islice(made, settings.max_rows + 1))
    except csv.Error as error:
        hint = "is a quotation mark left open? does a line end in a carriage return alone?"
        complaints.add(f"line {reader.line_num}: {error}; {hint}", split=split, row=len(rows))
    except UnicodeDecodeError:
        message = f"is not UTF-8 (line {reader.line_num + 1}); save it as UTF-8 and send it again"
        complaints.add(message, split=split, row=len(rows) if reader.line_num else None)
    return RawSplit(rows, cells=True)


def _rows_of_cells(
    reader: Iterator[list[str]],
    lines: TableLines,
    header: list[str],
    names: tuple[str, str],
    split: str,
    complaints: Complaints,
) -> Iterator[RawRow]:
    row = 0
    for cells in reader:
        lines.read = 0
        if not cells:
            continue  # an empty line
        if len(cells) != len(header):
            message = f"has {len(cells)} cells where the header has {len(header)}"
            complaints.add(message, split=split, row=row)
            yield RawRow(None, None, {})
        else:
            yield _make_row(dict(zip(header, cells, strict=True)), names)
        row += 1


def _make_row(values: Mapping[str, Any], names: tuple[str, str]) -> RawRow:
    extra = {name: value for name, value in values.items() if name not in names}
    return RawRow(values[names[0]], values[names[1]], extra)


def _find_columns(
    header: Sequence[str], split: str, complaints: Complaints, row: int | None = None
) -> tuple[str, str] | None:
    """The names of the text and the label column as they are written here, or a complaint and None."""
    before = complaints.count
    lower = [name.casefold() for name in header]
    texts = [name for name in header if name.casefold() == "text"]
    labels = [name for name in header if name.casefold() in _LABEL_COLUMNS]
    if len(texts) != 1:
        complaints.add("needs exactly one column `Text`", split=split, row=row, field="Text")
    if len(labels) != 1:
        complaints.add("needs exactly one column `Labels` (or `label`)", split=split, row=row, field="Labels")
    if len(set(lower)) != len(lower):
        complaints.add("names a column twice", split=split, row=row)
    if len(header) > MAX_COLUMNS:
        complaints.add(f"has {len(header)} columns; the most is {MAX_COLUMNS}", split=split, row=row)
    for name in header:
        if len(name) > MAX_NAME:
            message = f"is the name of a column, and longer than {MAX_NAME} characters; is the header missing?"
            complaints.add(message, split=split, row=row, field=name)
    return (texts[0], labels[0]) if complaints.count == before else None
