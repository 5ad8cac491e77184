"""The forms in which a split may arrive, each turned into rows that are not yet checked.

`.json` and JSON bodies  {"Text": […], "Labels": […], "any other column": […]}, or a list of rows as in `.jsonl`
`.jsonl`, `.ndjson`      {"text": "…", "label": "…"} or {"text": "…", "labels": ["…"]} a line
`.csv`, `.tsv`           a header with `text` and `label` or `labels`; several labels in a cell: a|b; between cells
                         whichever of comma, semicolon and tab gives the header these columns
`.xlsx`                  a workbook, one sheet of which is such a table
In each, where there is no such column, two or more that hold 0 and 1 alone are the labels.
Column names are compared without regard to case. Rows count from 0, lines of a file from 1.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from service.datasets.complaints import Complaints, shorten
from service.datasets.json_text import count_parsed, parse_json, why_too_many
from service.datasets.lines import bounded_lines, past_blanks, row_bytes
from service.datasets.rows import Columns, RawRow, RawSplit, find_columns
from service.datasets.tables import read_table
from service.datasets.wide_labels import wide_columns, wide_keys
from service.datasets.workbooks import read_workbook
from service.errors import ClassiglotError, UnsupportedMedia
from service.settings import Settings

EXTENSIONS = (".json", ".jsonl", ".csv", ".tsv", ".xlsx", ".ndjson")
OTHER_WORKBOOKS = (".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
EXTENSION_OF_TYPE = {  # of a file whose name has no extension
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",  # the first of a form is what answers have
    "application/jsonl": ".jsonl",
    "application/ndjson": ".jsonl",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}


def read_file(filename: str, data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """Reads one uploaded file by its extension; of lines, no more than one row over the limit: there may be no end.

    Raises: UnsupportedMedia, Unreadable.
    """
    extension = filename[filename.rfind(".") :].lower() if "." in filename else ""
    if extension == ".json":
        return read_json(parse_json(data, f"the file for {split}"), split, complaints)
    if extension in (".jsonl", ".ndjson"):
        return read_jsonl(data, split, complaints, settings)
    if extension in (".csv", ".tsv"):
        return read_table(data, "," if extension == ".csv" else "\t", split, complaints, settings)
    if extension == ".xlsx":
        return read_workbook(data, split, complaints, settings)
    how = "; save the workbook as one (.xlsx), or its sheet as CSV UTF-8 (.csv)" if extension in OTHER_WORKBOOKS else ""
    raise UnsupportedMedia(f"the file for {split} must end in one of {', '.join(EXTENSIONS)}{how}")


def read_json(value: object, split: str, complaints: Complaints) -> RawSplit:
    """The tutorial's form, an object of lists of one length; or a list of objects, as pandas calls records."""
    if isinstance(value, dict):
        return _read_columns(value, split, complaints)
    if isinstance(value, list) and value:
        objects = _Objects(split, complaints, wide_keys(value))
        return RawSplit([objects.row(own, row) for row, own in enumerate(value)], wide=objects.wide)
    complaints.add('must be an object {"Text": […], "Labels": […]}, or a list of rows', split=split)
    return RawSplit([])


def _read_columns(value: Mapping[str, Any], split: str, complaints: Complaints) -> RawSplit:
    lists = {name: column for name, column in value.items() if isinstance(column, list)}
    wide = wide_columns(
        tuple(lists), (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=False))
    )
    columns = find_columns(list(value), split, complaints, wide=wide)
    for name, column in value.items():
        if not isinstance(column, list):
            complaints.add("must be a list with one entry for each text", split=split, field=name)
    if columns is None or complaints.count:
        return RawSplit([])
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{shorten(name)} has {length}" for name, length in list(lengths.items())[:10])
        named = columns.labels if isinstance(columns.labels, str) else None
        complaints.add(f"all lists must have one length, but {listed}", split=split, field=named)
        return RawSplit([])
    rows = zip(*value.values(), strict=True)
    return RawSplit([columns.row(dict(zip(value, row, strict=True))) for row in rows], wide=wide)


def read_jsonl(data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """One object a line; empty lines are passed over, and nothing is read on where there are too many values."""
    longest = row_bytes(settings.max_text_bytes)
    lines = (
        (n, line) for n, line in enumerate(bounded_lines(io.BytesIO(data), longest), 1) if line is None or line.strip()
    )
    rows: list[RawRow] = []
    objects = _Objects(split, complaints, wide_keys(_readable(data, longest)))
    values = 0
    for number, line in islice(lines, settings.max_rows + 1):
        row = RawRow(None, None, {})
        complaints.begin_row(split, number)
        if line is None:
            complaints.add(f"is longer than {longest} bytes; cut its text", split=split, row=len(rows))
        else:
            try:
                value = parse_json(line, "the line")
                values += count_parsed(value)
                row = objects.row(value, len(rows))
            except ClassiglotError as error:
                complaints.add(error.message, split=split, row=len(rows))
        rows.append(row)
        if message := why_too_many(values):
            complaints.add(message, split=split, row=len(rows) - 1)
            break
    return RawSplit(rows, wide=objects.wide)


def _readable(data: bytes, longest: int) -> Iterator[object]:
    """What the lines hold, up to the first that cannot be read."""
    with suppress(ClassiglotError):
        for line in bounded_lines(past_blanks(data), longest):
            if line is None or line.strip():
                yield parse_json(line or b"", "the line")


@dataclass
class _Objects:
    """Rows as objects. `known`: columns by the names of a row, which are the same in most."""

    split: str
    complaints: Complaints
    wide: tuple[str, ...]
    known: dict[tuple[str, ...], Columns] = field(default_factory=dict)

    def row(self, value: object, number: int) -> RawRow:
        if not isinstance(value, dict):
            self.complaints.add('must be an object {"text": …, "label": …}', split=self.split, row=number)
            return RawRow(None, None, {})
        names = tuple(value)
        columns = self.known.get(names) or find_columns(names, self.split, self.complaints, number, self.wide)
        if columns is None:
            return RawRow(None, None, {})
        return self.known.setdefault(names, columns).row(value)
