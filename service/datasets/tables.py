"""A split as CSV (RFC 4180) or TSV with a header line, and what spreadsheets make of these."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice

from service.datasets.complaints import Complaints
from service.datasets.json_text import why_too_many
from service.datasets.lines import TableLines, past_blanks, row_bytes, trimmed
from service.datasets.rows import LABEL_COLUMNS, Columns, RawRow, RawSplit, find_columns, is_one
from service.datasets.wide_labels import wide_columns
from service.settings import Settings

csv.field_size_limit(2**31 - 1)  # the limits are ours, and are checked with a message that names the row
MOST_DOUBTFUL = 1000  # rows, and labels in one: looking must not take more memory than reading
_SEPARATOR_LINE = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)  # Excel's, for Excel
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_table(data: bytes, delimiter: str, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """No more than one row over the limit: there may be no end."""
    longest = row_bytes(settings.max_text_bytes)
    lines, wide = TableLines(io.BytesIO(data), longest), _wide(data, delimiter, longest)
    rows: list[RawRow] = []
    try:
        header, delimiter, reader = open_table(lines, delimiter)
        if columns := find_columns(header, split, complaints, wide=wide):
            table = _Table(header, columns, delimiter, split, complaints)
            rows.extend(islice(table.read(reader, lines, data), settings.max_rows + 1))
            table.complain_of_swallowed_rows(rows)
    except (csv.Error, UnicodeDecodeError) as error:
        complaints.begin_row(split, lines.begin)
        complaints.add(why_unread(error), split=split, row=len(rows) if lines.number else None)
    return RawSplit(rows, cells=True, wide=wide)


def _wide(data: bytes, delimiter: str, longest: int) -> tuple[str, ...]:
    """Its columns that are labels, by the rows up to where there is something that cannot be read."""
    lines = TableLines(past_blanks(data), longest)
    try:
        header, _, reader = open_table(lines, delimiter)
    except (csv.Error, UnicodeDecodeError):
        return ()
    return wide_columns(header, _readable(header, reader, lines))


def _readable(header: Sequence[str], reader: Iterator[list[str]], lines: TableLines) -> Iterator[dict[str, str]]:
    with suppress(csv.Error, UnicodeDecodeError):
        for cells in reader:
            lines.end_row()
            if any(map(str.strip, cells)) and len(trimmed(cells, len(header))) == len(header):
                yield dict(zip(header, cells, strict=True))


def why_unread(error: csv.Error | UnicodeDecodeError) -> str:
    """What to do about a table that cannot be read on."""
    if isinstance(error, UnicodeDecodeError):
        return 'is not UTF-8; save the file as UTF-8 (in Excel as "CSV UTF-8") and send it again'
    if str(error).startswith("new-line character"):  # Python goes on about how it opens files
        return (
            "there is a carriage return alone; save the file with line ends of Windows (CR LF) or Unix (LF), "
            "and put a text of several lines in quotation marks"
        )
    return f"{error}; is a quotation mark left open?"


def open_table(lines: TableLines, expected: str) -> tuple[list[str], str, Iterator[list[str]]]:
    """The names in its header, what its cells end at (`expected`, if the header does not say otherwise), and the rows
    that follow. Raises: csv.Error, UnicodeDecodeError, as reading on does."""
    first = _header_line(lines)
    delimiter = _delimiter(first, expected)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    header = trimmed([name.strip() for name in next(reader, [])], 0)
    lines.end_row()
    return header, delimiter, reader


def _header_line(lines: TableLines) -> str:
    """The first that says something."""
    for line in lines:
        if line.strip(" \t\r\n,;") and not _SEPARATOR_LINE.fullmatch(line):
            return line
        lines.end_row()
    return ""


def _delimiter(header: str, expected: str) -> str:
    """Another than `expected` where only it gives the header a column `text`: Excel writes CSV with semicolons
    wherever a comma is what begins decimals, and files of tabs are often called CSV."""
    tried = (expected, *(other for other in _NAMES if other != expected))
    with_text = [delimiter for delimiter in tried if "text" in _names(header, delimiter)]
    with_both = [delimiter for delimiter in with_text if not _names(header, delimiter).isdisjoint(LABEL_COLUMNS)]
    return next(iter(with_both or with_text), expected)


def _names(header: str, delimiter: str) -> set[str]:
    """Those of the columns as they are compared."""
    cells = next(csv.reader(re.split("[\r\n]", header, maxsplit=1)[:1], delimiter=delimiter), [])
    return {name.strip().casefold() for name in cells}


def why_not_a_row(cells: Sequence[str], header: Sequence[str], delimiter: str) -> str:
    """A complaint about more or fewer cells than the header has."""
    hint = "write each cell, even an empty one"
    if len(cells) > len(header):
        hint = f"put a text with {_NAMES[delimiter]} in quotation marks, and double those inside"
    return f"has {len(cells)} cells where the header has {len(header)}; {hint}"


@dataclass
class _Table:
    header: list[str]
    columns: Columns
    delimiter: str
    split: str
    complaints: Complaints
    doubtful: list[tuple[int, int, int, set[str]]] = field(default_factory=list)  # row, its lines, labels in them

    def read(self, reader: Iterator[list[str]], lines: TableLines, data: bytes) -> Iterator[RawRow]:
        row = values = 0
        end = lines.row_end
        for cells in reader:
            begin, first = end, lines.begin
            lines.end_row()
            end, last = lines.row_end, lines.number
            if not any(map(str.strip, cells)):
                continue  # an empty line, or one of separators: no text, no label and nothing else is lost
            self.complaints.begin_row(self.split, first)
            if last > first:
                self._look_for_rows(data[begin:end].decode(), row, first, last)
            values += len(cells)
            if message := why_too_many(values):
                self.complaints.add(message, split=self.split, row=row)
                return
            yield self._row(trimmed(cells, len(self.header)), row)
            row += 1

    def _row(self, cells: Sequence[str], row: int) -> RawRow:
        if len(cells) == len(self.header):
            return self.columns.row(dict(zip(self.header, cells, strict=True)))
        self.complaints.add(why_not_a_row(cells, self.header, self.delimiter), split=self.split, row=row)
        return RawRow(None, None, {})

    def _look_for_rows(self, written: str, row: int, first: int, last: int) -> None:
        """Remembers a row each of whose lines has as many cells as a row. A text of lines may have that by chance
        ("Hi Bob," at the start of a letter), but then no line has a label in the label's place."""
        name = self.columns.labels if isinstance(self.columns.labels, str) else self.columns.labels[0]
        place = self.header.index(name)
        labels: set[str] = set()
        for line in filter(str.strip, io.StringIO(written)):
            cells = trimmed(line.split(self.delimiter), len(self.header))
            if len(cells) != len(self.header) or len(labels) == MOST_DOUBTFUL:
                return
            labels.add(cells[place].strip(' "\r\n'))
        if len(self.doubtful) < MOST_DOUBTFUL:
            self.doubtful.append((row, first, last, labels))

    def complain_of_swallowed_rows(self, rows: Sequence[RawRow]) -> None:
        """A cell that begins with a quotation mark runs on to the next that ends in one, and takes that one's label."""
        known = {row.labels.strip() for row in rows if isinstance(row.labels, str) and row.labels.strip()}
        for row, first, last, labels in self.doubtful:
            if labels <= known or (not isinstance(self.columns.labels, str) and None not in map(is_one, labels)):
                message = (
                    f"takes lines {first} to {last}, each of which looks like a row of its own; where a text begins "
                    "with a quotation mark, put the text in quotation marks, and double those inside"
                )
                self.complaints.add(message, split=self.split, row=row)
