"""A split as a workbook (`.xlsx`): the one sheet that has a column `text`."""

import json
import signal
import subprocess
import threading
from collections.abc import Sequence
from itertools import zip_longest

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
ERRORS = frozenset(("#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"))
PATIENCE = 5.0  # seconds that one waits for the reading of another: waiting takes a thread, as any request does
SLOWEST = 120.0  # seconds that a reading may take on a machine that is busy
_one_at_a_time = threading.Lock()  # each may take a gigabyte


def read_workbook(data: bytes, split: str, complaints: Complaints, settings: Settings) -> RawSplit:
    """No more than one row over the limit. A complaint names the row of the sheet as the line.

    Raises: UnsupportedMedia, where it is no workbook that can be read; Overloaded.
    """
    said = _said(data, split, Bounds(settings.max_rows, MAX_COLUMNS, MOST_VALUES))
    if said is None:
        message = "is too large for a workbook; save the sheet as CSV UTF-8 and send that"
        complaints.add(message, split=split)
        return RawSplit([])
    first, *lines = said.splitlines()
    if len(titles := json.loads(first)) > 1:
        found = listed(map(shorten, titles))
        complaints.add(f"has several sheets with a column `text`, {found}; send each as a file of its own", split=split)
        return RawSplit([])
    rows: list[Row] = [tuple(json.loads(line)) for line in lines]
    return _read_table(rows[0][1], rows[1:], split, complaints) if rows else RawSplit([])


def _said(data: bytes, split: str, bounds: Bounds) -> bytes | None:
    """What the process that reads it says; None where it takes too much. Raises: UnsupportedMedia, Overloaded."""
    command = processes.dying_with_us(processes.python("service.datasets.workbook_rows", *bounds.words()))
    if not _one_at_a_time.acquire(timeout=PATIENCE):
        raise Overloaded("another workbook is being read; try again in a moment, or send CSV UTF-8", retry_after=5)
    try:
        read = subprocess.run(
            command,
            input=data,
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
            f"the file for {split} is no workbook (.xlsx) that can be read here; open it in Excel or LibreOffice, and "
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
            message = "has a value in a column without a name; name the column in the header, or clear the cell"
            complaints.add(message, split=split, row=row)
        for name in (name for name, cell in named.items() if cell in ERRORS):
            message = f"holds the error {named[name]}; correct the formula, or remove the row"
            complaints.add(message, split=split, row=row, field=name)
        rows.append(columns.row(named))
    return RawSplit(rows, cells=True, wide=wide)
