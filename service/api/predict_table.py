"""Predictions as a table: the one that was sent, and what is predicted in columns after its own."""

import csv
import io
import re
from collections.abc import Sequence

from service.api.text_lines import TABLES
from service.api.text_rows import Fault, Row, Rows
from service.errors import InferenceFailed
from service.inference.predictions import Prediction
from service.store.records import Task

Answer = Prediction | Fault | InferenceFailed
Answered = tuple[Row, Answer]
COLUMNS = {"choosing": ("label", "score"), "deciding": ("labels", "scores")}
# What a spreadsheet computes where it opens a table, wide letters too; a number with a sign is none of it.
_FORMULA = re.compile(r"[=@＝＋－＠\t\r]|[+-](?!\d+([.,]\d+)?([eE][+-]?\d+)?$)")
_DECIMAL = re.compile(r"-?\d+\.\d+(e[+-]\d+)?")  # as the cells of a workbook have it


class Table:
    """Writes rows as `media_type`. What a spreadsheet put there it gets back: a semicolon that ended cells, and a byte
    order mark. `each`: labels that have a column of their own, for their score in every row. `delimiter`: of CSV, where
    it is not the one that was sent."""

    def __init__(
        self, sent: Rows, media_type: str, task: Task, each: Sequence[str] = (), delimiter: str | None = None
    ) -> None:
        wanted = (media_type, delimiter or sent.delimiter)
        self._delimiter = ";" if wanted == ("text/csv", ";") else TABLES[media_type]
        self._mark = "\ufeff" if sent.marked else ""
        self._shown = sent.shown
        self._each = each
        names = [*COLUMNS[task], "truncated", "error", *map(_no_formula, each)]
        self._header = [*self._own(sent.header), *_new_names(sent.header, names)]

    def write(self, first: int, piece: Sequence[Answered]) -> bytes:
        """`first`: the number of the first row; the header comes before number 0."""
        written = io.StringIO()
        written.write("" if first else self._mark)
        writer = csv.writer(written, delimiter=self._delimiter)
        writer.writerows([] if first else [self._header])
        writer.writerows([*self._own(row.cells), *self._predicted(answer)] for row, answer in piece)
        return written.getvalue().encode()

    def _own(self, cells: Sequence[str]) -> Sequence[str]:
        """A table's as they were sent. What a workbook shows as a text would be computed when it comes back in CSV."""
        if not self._shown:
            return cells
        return [_no_formula(self._decimal(cell) if _DECIMAL.fullmatch(cell) else cell) for cell in cells]

    def _predicted(self, answer: Answer) -> list[str]:
        """Labels, scores, truncated, error. Several labels are joined as data sets have them, their scores likewise."""
        if isinstance(answer, Fault | InferenceFailed):
            return ["", "", "", str(answer), *("" for _ in self._each)]
        own, each = (
            [self._decimal(f"{answer.scores[label]:.6g}") for label in of] for of in (answer.labels, self._each)
        )
        return [_no_formula("|".join(answer.labels)), "|".join(own), str(answer.truncated).lower(), "", *each]

    def _decimal(self, number: str) -> str:
        """Whoever writes semicolons between cells does so because a comma begins decimals there."""
        return number.replace(".", ",") if self._delimiter == ";" else number


def _new_names(taken: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """A table that is labelled already keeps its labels beside the predicted ones."""
    known = {name.casefold() for name in taken}
    names = []
    for name in wanted:
        while name.casefold() in known:
            name = f"predicted_{name}"
        known.add(name.casefold())
        names.append(name)
    return names


def _no_formula(cell: str) -> str:
    """Labels are whatever somebody once uploaded: with an apostrophe before it a spreadsheet takes one for text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
