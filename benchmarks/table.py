"""Markdown tables of the lines that runs left behind."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

Line = dict[str, Any]
Cell = tuple[str, int]  # a set and a size: the mean over seeds is one figure
REFERENCES = ("tfidf", "frozen")


def tables(lines: Sequence[Line]) -> str:
    """One table over all sets, then one for each."""
    parts = ["## All sets", "", overall(lines)]
    for name in _distinct(lines, "set"):
        own = [line for line in lines if line["set"] == name]
        parts += ["", f"## {name} ({own[0]['task']})", "", of_one_set(own)]
    return "\n".join(parts) + "\n"


def overall(lines: Sequence[Line]) -> str:
    """Differences are in macro-F1 and between the same runs; a method without partners there gets a dash."""
    sizes = _distinct(lines, "size")
    head = ["method", "runs", *(f"macro-F1 at {size}" for size in sizes), "− setfit", "− trainer"]
    head += ["worst − better of tfidf, frozen", "ECE", "seconds"]
    rows = []
    for method in _distinct(lines, "method"):
        own = [line for line in lines if line["method"] == method]
        rows.append(
            [
                method,
                str(len(own)),
                *(_mean("macro_f1", _where(own, "size", size)) for size in sizes),
                *(_difference(own, _where(lines, "method", other)) for other in ("setfit", "trainer")),
                _worst(own, lines),
                _mean("ece", own),
                _mean("seconds", own, "{:.1f}"),
            ]
        )
    return _markdown(head, rows)


def of_one_set(lines: Sequence[Line]) -> str:
    sizes = _distinct(lines, "size")
    second = "accuracy" if lines[0]["task"] == "choosing" else "micro_f1"
    figures = {"macro-F1": "macro_f1", second.replace("_f1", "-F1"): second, "ECE": "ece"}
    head = ["method", *(f"{title} at {size}" for title in [*figures, "seconds"] for size in sizes)]
    rows = []
    for method in _distinct(lines, "method"):
        own = [_where(_where(lines, "method", method), "size", size) for size in sizes]
        cells = [_mean(figure, some) for figure in figures.values() for some in own]
        rows.append([method, *cells, *(_mean("seconds", some, "{:.1f}") for some in own)])
    return _markdown(head, rows)


def _difference(own: Iterable[Line], others: Iterable[Line]) -> str:
    theirs = {_contest(line): line["macro_f1"] for line in others}
    gaps = [line["macro_f1"] - theirs[_contest(line)] for line in own if _contest(line) in theirs]
    return f"{fmean(gaps):+.3f}" if gaps else "–"


def _worst(own: Sequence[Line], lines: Sequence[Line]) -> str:
    """The set and size where a method falls furthest behind the better reference, or leads it least."""
    bars = [_by_cell(_where(lines, "method", reference)) for reference in REFERENCES]
    mine = _by_cell(own)
    cells = [cell for cell in mine if all(cell in bar for bar in bars)]
    if not cells:
        return "–"
    gaps = {cell: mine[cell] - max(bar[cell] for bar in bars) for cell in cells}
    worst = min(gaps, key=gaps.__getitem__)
    return f"{gaps[worst]:+.3f} ({worst[0]}, {worst[1]})"


def _by_cell(lines: Iterable[Line]) -> dict[Cell, float]:
    """Mean macro-F1 over seeds."""
    found: dict[Cell, list[float]] = {}
    for line in lines:
        found.setdefault((line["set"], line["size"]), []).append(line["macro_f1"])
    return {cell: fmean(values) for cell, values in found.items()}


def _contest(line: Line) -> tuple[str, int, int]:
    return line["set"], line["size"], line["seed"]


def _where(lines: Iterable[Line], key: str, value: object) -> list[Line]:
    return [line for line in lines if line[key] == value]


def _mean(figure: str, lines: Sequence[Line], form: str = "{:.3f}") -> str:
    return form.format(fmean(line[figure] for line in lines)) if lines else "–"


def _distinct(lines: Iterable[Line], key: str) -> list[Any]:
    """In the order of first appearance; numbers in their own order."""
    values = list(dict.fromkeys(line[key] for line in lines))
    order: Callable[[list[Any]], list[Any]] = sorted if key == "size" else list
    return order(values)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
