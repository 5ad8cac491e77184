"""What every plot is made of: scales, ticks, a panel with its grid, whiskers, and labels that fit."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.jobs.page.markup import Child, Markup, h


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps low…high of the data to start…end of the picture, in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Panel:
    """One coordinate system within a picture."""

    x: Scale
    y: Scale


def svg(width: float, height: float, description: str, *children: Child) -> Markup:
    """A picture that a screen reader reads as `description`."""
    size: dict[str, str | float] = {"viewBox": f"0 0 {width:.0f} {height:.0f}", "width": width, "height": height}
    name = "wide" if width > 560 else None  # a narrow screen scrolls it instead of shrinking it out of sight
    return h("svg", children, **size, role="img", aria_label=description, class_=name)


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start", turn: float = 0) -> Markup:
    """`turn`: degrees anticlockwise about (x, y)."""
    turned = f"rotate({-turn:g} {x:.1f} {y:.1f})" if turn else None
    return h("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor, transform=turned)


def label_text(x: float, y: float, label: str, width: int, class_: str = "", anchor: str = "end", turn: float = 0) -> (
    Markup
):  # fmt: skip
    """A user's label cut to `width` columns; its full name shows where the pointer rests."""
    drawn = text(x, y, shorten(label, width), class_, anchor, turn)
    return h("g", h("title", label), drawn)


def shorten(label: str, width: int) -> str:
    """At most `width` columns, where a Chinese, Japanese or Korean letter takes two and a combining mark none."""
    used, kept = 0, ""
    for letter in " ".join(label.split()):
        used += _columns(letter)
        if used > width:
            return kept.rstrip() + "…"
        kept += letter
    return kept


def width_of(labels: Iterable[str], most: int) -> float:
    """Pixels that the longest of the labels takes, each cut to `most` columns."""
    return 7.0 * max((min(most + 1, sum(map(_columns, label))) for label in labels), default=0)


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within low…high, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def grid(panel: Panel, x_ticks: Sequence[float], y_ticks: Sequence[float], x_title: str) -> list[Markup]:
    """Lines across at each y tick, numbers at both axes, and what x counts."""
    x, y = panel.x, panel.y
    across = [h("line", class_="grid", x1=x.start, x2=x.end, y1=y(tick), y2=y(tick)) for tick in y_ticks]
    at_y = [text(x.start - 6, y(tick) + 4, f"{tick:g}", "axis", "end") for tick in y_ticks]
    at_x = [text(x(tick), y.start + 16, f"{tick:g}", "axis", "middle") for tick in x_ticks]
    return [*across, *at_y, *at_x, text((x.start + x.end) / 2, y.start + 32, x_title, "axis", "middle")]


def upright_grid(x: Scale, top: float, bottom: float) -> list[Markup]:
    """Lines down at 0, 0.25 … 1 with their numbers below, for rows that share one x."""
    values = (0, 0.25, 0.5, 0.75, 1)
    down = [h("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=bottom) for value in values]
    return [*down, *(text(x(value), bottom + 14, f"{value:g}", "axis", "middle") for value in values)]


def whisker(x: Scale, y: float, low: float, high: float, class_: str, half: float = 4) -> Markup:
    """An interval as a line across, with its two ends."""
    ends = f"M{x(low):.1f} {y - half:g}v{2 * half:g}M{x(low):.1f} {y:g}H{x(high):.1f}M{x(high):.1f} {y - half:g}"
    return h("path", class_=f"{class_} whisker", d=f"{ends}v{2 * half:g}")


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    return h("polyline", class_=f"{class_} curve", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
