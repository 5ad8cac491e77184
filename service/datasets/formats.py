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
from typing import Any

from service.datasets.complaints import Complaints, shorten
from service.datasets.json_text import parse_json
from service.errors import ClassiglotError, UnsupportedMedia

EXTENSIONS = (".json", ".jsonl", ".csv", ".tsv")
SEPARATOR = "|"
_LABEL_COLUMNS = ("labels", "label")
csv.field_size_limit(2**31 - 1)  # the limit on texts is ours, and is checked with a message that names the row


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


def read_file(filename: str, data: bytes, split: str, complaints: Complaints) -> RawSplit:
    """Reads one uploaded file by its extension. Raises: UnsupportedMedia, Unreadable."""
    extension = filename[filename.rfind(".") :].lower() if "." in filename else ""
    if extension == ".json":
        return read_columns(parse_json(data, f"the file for {split}"), split, complaints)
    if extension == ".jsonl":
        return read_jsonl(data, split, complaints)
    if extension in (".csv", ".tsv"):
        return read_table(data, "," if extension == ".csv" else "\t", split, complaints)
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


def read_jsonl(data: bytes, split: str, complaints: Complaints) -> RawSplit:
    """One object a line; empty lines are passed over."""
    rows: list[RawRow] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = _row_of_object(parse_json(line, f"line {number}"), number, split, len(rows), complaints)
        except ClassiglotError as error:
            complaints.add(error.message, split=split, row=len(rows))
            row = RawRow(None, None, {})
        rows.append(row)
    return RawSplit(rows)


def _row_of_object(value: object, line: int, split: str, row: int, complaints: Complaints) -> RawRow:
    if not isinstance(value, dict):
        complaints.add(f'line {line} must be an object {{"text": …, "label": …}}', split=split, row=row)
    elif names := _find_columns(list(value), split, complaints, row=row):
        return _make_row(value, names)
    return RawRow(None, None, {})


def read_table(data: bytes, delimiter: str, split: str, complaints: Complaints) -> RawSplit:
    """CSV (RFC 4180) or TSV with a header line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        complaints.add(f"is not UTF-8 (byte {error.start}); save it as UTF-8 and send it again", split=split)
        return RawSplit([])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[RawRow] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        names = _find_columns(header, split, complaints)
        if names is not None:
            rows.extend(_rows_of_cells(reader, header, names, split, complaints))
    except csv.Error as error:
        complaints.add(f"line {reader.line_num}: {error}; is a quotation mark left open?", split=split, row=len(rows))
    return RawSplit(rows, cells=True)


def _rows_of_cells(
    reader: Iterator[list[str]], header: list[str], names: tuple[str, str], split: str, complaints: Complaints
) -> Iterator[RawRow]:
    row = 0
    for cells in reader:
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
    return (texts[0], labels[0]) if complaints.count == before else None
