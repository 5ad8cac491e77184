"""What every section is made of: headings, figures, tables, and numbers as they are written everywhere."""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from service.jobs.page.markup import Child, Markup, h
from service.jobs.report import Interval

Cell: TypeAlias = Child
FIGURES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "micro_f1": "Micro-F1",
    "samples_f1": "Samples-F1",
    "hamming_loss": "Hamming loss",
    "kappa": "Cohen's kappa",
}


def section(anchor: str, title: str, *children: Child) -> Markup:
    return h("section", h("h2", title, id=f"{anchor}-title"), children, id=anchor, aria_labelledby=f"{anchor}-title")


def paragraph(*children: Child, class_: str | None = None) -> Markup:
    return h("p", children, class_=class_)


def quiet(*children: Child) -> Markup:
    """A line that explains, in smaller and paler letters."""
    return paragraph(*children, class_="quiet")


def figure(plot: Markup, *caption: Child) -> Markup:
    return h("figure", h("div", plot, class_="scroll", tabindex=0), h("figcaption", caption))


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], words: Collection[int] = (0,), last: str = ""
) -> Markup:
    """The first cell of each row is its heading. `words`: the columns that are no numbers; `last`: class of the last
    row. A cell that is a `td` or `th` already stays as it is. The caption is beside what scrolls on a narrow screen, so
    that it can be read as a whole."""
    head = h("tr", [h("th", name, scope="col", class_=_class(number, words)) for number, name in enumerate(heads)])
    body = [[_cell(number, cell, words) for number, cell in enumerate(row)] for row in rows]
    drawn = [h("tr", cells, class_=last or None if cells is body[-1] else None) for cells in body]
    drawn_table = h("table", h("thead", head), h("tbody", drawn), aria_label=caption)
    return h("div", paragraph(caption, class_="caption"), h("div", drawn_table, class_="scroll", tabindex=0))


def _cell(number: int, content: Cell, words: Collection[int]) -> Markup:
    if isinstance(content, Markup) and content.startswith("<td"):
        return content
    direction = "auto" if number in words else None
    if number == 0:
        return h("th", content, scope="row", class_=_class(number, words), dir=direction)
    return h("td", content, class_=_class(number, words), dir=direction)


def _class(number: int, words: Collection[int]) -> str | None:
    return "words" if number in words else None


def text_cell(text: str) -> Markup:
    """A user's text, which runs in its own direction."""
    return h("td", text, class_="words text", dir="auto")


def names(labels: Sequence[str]) -> Markup:
    """Labels side by side, each in its own direction; or that there is none."""
    if not labels:
        return h("i", "none")
    return h("span", [h("span", label, class_="label", dir="auto") for label in labels])


def inline(text: str) -> Markup:
    """A user's word within our sentence, kept apart from its direction."""
    return h("bdi", text)


def number(value: float) -> str:
    return f"{value:.3f}"


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def with_interval(figure: Interval) -> Markup:
    """Where lines may break, they do so between the two alone."""
    interval = h("span", f"({number(figure.low)}–{number(figure.high)})", class_="whole")
    return h("span", number(figure.value), " ", interval)
