"""Rows of texts to classify, whatever form they were sent in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.datasets.checks import why_unsafe


class Fault(str):
    """What is wrong with a row that holds no text to classify."""


@dataclass(frozen=True, slots=True)
class Row:
    """`cells`: all of a table's row, as many as its header has."""

    text: str | Fault
    cells: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """`header`, `delimiter` and whether there is a byte order mark, which Excel wants, are a table's. `shown`: its
    cells are what a workbook shows, and were never written as CSV."""

    rows: Iterator[Row]
    header: Sequence[str] = ()
    delimiter: str = ""
    marked: bool = False
    shown: bool = False


def why_no_text(text: str, longest: int) -> Fault | None:
    """None for a text that can be classified. `longest`: bytes."""
    if not text.strip():
        return Fault("is empty")
    if len(text) > longest // 4 and len(text.encode("utf-8", "surrogatepass")) > longest:
        return Fault(f"is longer than {longest} bytes")
    fault = why_unsafe(text)
    return Fault(fault) if fault else None
