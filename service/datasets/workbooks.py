"""Workbooks (`.xlsx`), of which the one sheet that has a column `text` is read; a split as one."""

import io
import json
import signal
import subprocess
import threading
from collections.abc import Sequence
from itertools import zip_longest
from typing import IO

from service import processes
from service.datasets.complaints import Complaints, listed, shorten
from service.datasets.json_text import MOST_VALUES
from service.datasets.rows import MAX_COLUMNS, RawRow, RawSplit, find_columns
from service.datasets.wide_labels import wide_columns
from service.datasets.workbook_rows import TOO_LARGE, UNREADABLE, Bounds, Row
from service.errors import Overloaded, Unavailable, UnsupportedMedia
from service.logs import get_logger
from service.settings import Settings

log = get_logger(__name__)
_ERRORS = frozenset(("#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"))
PATIENCE = 5.0  # seconds that one waits for the reading of another: waiting takes a thread, as any request does
SLOWEST = 120.0  # seconds that a reading may take on a machine that is busy
NAMELESS = "has a value in a column without a name; name the column in the header, or clear the cell"
_one_at_a_time = threading.Lock()  # each may take a gigabyte


class SheetRefused(Exception):
    """Why a workbook is not taken, and what to do."""


def read_workbook(data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """No more than one row over the limit. A complaint names the row of the sheet as the line.

    Raises: UnsupportedMedia, where it is no workbook that can be read; Overloaded.
    """
    bounds = Bounds(settings.max_rows, MAX_COLUMNS, MOST_VALUES)
    try:
        lines = read_sheet(io.BytesIO(data), f"the file for {split}", bounds).splitlines()
    except SheetRefused as refused:
        complaints.add(str(refused), split=split)
        return RawSplit([])
    rows: list[Row] = [tuple(json.loads(line)) for line in lines]
    return _read_table(rows[0][1], rows[1:], split, complaints) if rows else RawSplit([])


def read_sheet(file: IO[bytes], name: str, bounds: Bounds) -> bytes:
    """Its filled rows, each a line `[number, [cell, …]]`, the header first. `name`: what the file is called in errors.

    Raises: SheetRefused; UnsupportedMedia, where it is no workbook that can be read; Overloaded, Unavailable.
    """
    said = _said(file, name, bounds)
    if said is None:
        raise SheetRefused("is too large for a workbook; save the sheet as CSV UTF-8 and send that")
    titles, _, rows = said.partition(b"\n")
    if len(several := json.loads(titles)) > 1:
        found = listed(map(shorten, several))
        raise SheetRefused(f"has several sheets with a column `text`, {found}; send each as a file of its own")
    return rows


def why_error(cell: str) -> str | None:
    """What to do about a cell in which a formula failed."""
    return f"holds the error {cell}; correct the formula, or remove the row" if cell in _ERRORS else None


def _said(file: IO[bytes], name: str, bounds: Bounds) -> bytes | None:
    """What the process that reads it says; None where it takes too much. Raises: UnsupportedMedia, Overloaded."""
    command = processes.dying_with_us(processes.python("service.datasets.workbook_rows", *bounds.words()))
    if not _one_at_a_time.acquire(timeout=PATIENCE):
        raise Overloaded("another workbook is being read; try again in a moment, or send CSV UTF-8", retry_after=5)
    try:
        read = subprocess.run(
            command,
            input=file.read(),  # not while others wait: they would all be in memory
            capture_output=True,
            timeout=SLOWEST,
            env=processes.without_secrets(),
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    finally:
        _one_at_a_time.release()
    if read.returncode == 0:
        return read.stdout
    log.info("workbook_refused", status=read.returncode, why=read.stderr.decode(errors="replace")[-200:].strip())
    if read.returncode in (TOO_LARGE, -signal.SIGKILL, -signal.SIGXCPU):  # memory, time
        return None
    if read.returncode == UNREADABLE:
        raise UnsupportedMedia(
            f"{name} is no workbook (.xlsx) that can be read here; open it in Excel or LibreOffice, and "
            "save it as .xlsx without a password, or its sheet as CSV UTF-8 (.csv)"
        )
    raise Unavailable("workbooks cannot be read here just now, the log says why; send CSV UTF-8")


def _read_table(header: Sequence[str], filled: Sequence[Row], split: str, complaints: Complaints) -> RawSplit:
    header = [name.strip() for name in header]
    values = [dict(zip_longest(header, cells[: len(header)], fillvalue="")) for _, cells in filled]
    wide = wide_columns(header, values)
    columns = find_columns(header, split, complaints, wide=wide)
    if columns is None:
        return RawSplit([])
    rows: list[RawRow] = []
    for row, ((number, cells), named) in enumerate(zip(filled, values, strict=True)):
        complaints.begin_row(split, number)
        if any(cells[len(header) :]):
            complaints.add(NAMELESS, split=split, row=row)
        for name, cell in named.items():
            if message := why_error(cell):
                complaints.add(message, split=split, row=row, field=name)
        rows.append(columns.row(named))
    return RawSplit(rows, cells=True, wide=wide)
