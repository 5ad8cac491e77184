"""A split as CSV (RFC 4180) or TSV with a header line."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice

from service.datasets.complaints import Complaints
from service.datasets.json_text import why_too_many
from service.datasets.lines import TableLines, row_bytes
from service.datasets.rows import Columns, RawRow, RawSplit, find_columns
from service.settings import Settings

csv.field_size_limit(2**31 - 1)  # the limits are ours, and are checked with a message that names the row


def read_table(data: bytes, delimiter: str, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """No more than one row over the limit: there may be no end."""
    lines = TableLines(io.BytesIO(data), row_bytes(settings.max_text_bytes))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[RawRow] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if columns := find_columns(header, split, complaints):
            made = _rows_of_cells(reader, lines, header, columns, split, complaints)
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
    header: Sequence[str],
    columns: Columns,
    split: str,
    complaints: Complaints,
) -> Iterator[RawRow]:
    row = values = 0
    for cells in reader:
        lines.read = 0
        values += len(cells)
        if message := why_too_many(values):
            complaints.add(message, split=split, row=row)
            return
        if not cells:
            continue  # an empty line
        if len(cells) != len(header):
            message = f"has {len(cells)} cells where the header has {len(header)}"
            complaints.add(message, split=split, row=row)
            yield RawRow(None, None, {})
        else:
            yield columns.row(dict(zip(header, cells, strict=True)))
        row += 1
