"""The plots of a run as a whole: learning curves, the model beside its baselines, reliability."""

import math
from collections.abc import Sequence
from typing import Any

from service.jobs.page.drawing import Panel, Scale, grid, polyline, svg, text, ticks, upright_grid, whisker
from service.jobs.page.markup import Markup, h
from service.jobs.report import Calibration, Interval, ReliabilityBin

Points = list[tuple[float, float]]
MOST_DOTS = 40


def learning_curves(history: Sequence[dict[str, Any]], kept_epoch: float | None) -> Markup:
    """Losses on the left, macro-F1 on the right, over the epochs; `kept_epoch` is marked in both."""
    train, val, f1 = (_points(history, name) for name in ("train_loss", "val_loss", "val_macro_f1"))
    epochs = [x for x, _ in train + val + f1]
    x_range = (min(epochs, default=1) - 0.4, max(epochs, default=1) + 0.4)
    highest = max((y for _, y in train + val), default=1.0) * 1.08 or 1.0
    losses = Panel(Scale(*x_range, 48, 370), Scale(0, highest, 200, 44))
    scores = Panel(Scale(*x_range, 448, 770), Scale(0, 1, 200, 44))
    return svg(
        790,
        240,
        _curves_in_words(train, val, f1, kept_epoch),
        _panel_of_curves(losses, kept_epoch),
        _panel_of_curves(scores, kept_epoch),
        _curve(losses, train, "loss in training", "second dashed", 48),
        _curve(losses, val, "loss on validation", "first", 190),
        _curve(scores, f1, "macro-F1 on validation", "third", 448),
    )


def _points(history: Sequence[dict[str, Any]], name: str) -> Points:
    """One an epoch that has a finite value."""
    pairs = [(entry.get("epoch", number), entry.get(name)) for number, entry in enumerate(history, start=1)]
    return [(float(x), float(y)) for x, y in pairs if isinstance(y, int | float) and math.isfinite(y)]


def _curves_in_words(train: Points, val: Points, f1: Points, kept_epoch: float | None) -> str:
    parts = [
        f"{name} from {points[0][1]:.3f} to {points[-1][1]:.3f}"
        for name, points in (("training loss", train), ("validation loss", val), ("validation macro-F1", f1))
        if points
    ]
    kept = f"; kept: epoch {kept_epoch:g}" if kept_epoch is not None else ""
    return f"Learning curves over {max(len(val), len(train))} epochs: {', '.join(parts)}{kept}"


def _panel_of_curves(panel: Panel, kept_epoch: float | None) -> list[Markup]:
    x, y = panel.x, panel.y
    whole = [tick for tick in ticks(x.low, x.high, 8) if tick == int(tick)]
    drawn = grid(panel, whole, ticks(y.low, y.high), "epoch")
    if kept_epoch is None:
        return drawn
    near_end = x(kept_epoch) > x.end - 60  # then the words go to the left of the line
    words = text(
        x(kept_epoch) + (-5 if near_end else 5), y.end + 9, "kept", "small strong", "end" if near_end else "start"
    )
    return [*drawn, h("line", class_="guide", x1=x(kept_epoch), x2=x(kept_epoch), y1=y.start, y2=y.end), words]


def _curve(panel: Panel, points: Points, name: str, class_: str, key_x: float) -> list[Markup]:
    """The curve, a dot an epoch while they are few, and its key above the panel."""
    placed = [(panel.x(x), panel.y(y)) for x, y in points]
    dots = [
        h("circle", h("title", f"epoch {x:g}: {name} {y:.4f}"), class_=f"{class_} dot", cx=cx, cy=cy, r=3)
        for (x, y), (cx, cy) in zip(points, placed, strict=True)
    ]
    key = polyline([(key_x, 16), (key_x + 22, 16)], class_)
    return [key, text(key_x + 28, 20, name), polyline(placed, class_), *(dots if len(dots) <= MOST_DOTS else [])]


def beside_baselines(model: Interval, baselines: Sequence[tuple[str, Interval]]) -> Markup:
    """Macro-F1 of the model and of each baseline by name, each with its interval, on one scale from 0 to 1."""
    rows = [("This model", model), *baselines]
    x, bottom = Scale(0, 1, 290, 690), 14 + 30 * len(rows)
    words = "; ".join(f"{name} {row.value:.3f}, from {row.low:.3f} to {row.high:.3f}" for name, row in rows)
    return svg(
        790,
        bottom + 38,
        f"Macro-F1 with 95 % intervals: {words}",
        upright_grid(x, 8, bottom),
        h("rect", class_="band", x=x(model.low), y=8, width=x(model.high) - x(model.low), height=bottom - 8),
        [_compared(x, 26 + 30 * number, name, row, number == 0) for number, (name, row) in enumerate(rows)],
        text(490, bottom + 31, "macro-F1 on the test texts (further right is better)", "axis", "middle"),
    )


def _compared(x: Scale, y: float, name: str, row: Interval, is_model: bool) -> list[Markup]:
    class_, weight = ("first", "strong") if is_model else ("plain", "")
    return [
        text(278, y + 4, name, weight, "end"),
        whisker(x, y, row.low, row.high, class_, 5),
        h("circle", class_=f"{class_} dot", cx=x(row.value), cy=y, r=5),
        text(704, y + 4, f"{row.value:.3f}", weight),
    ]


def reliability(calibration: Calibration) -> Markup:
    """Share that came true by stated probability, before and after calibration, over the number in each bin."""
    before, after = calibration.before, calibration.after
    most = max((bin_.count for bin_ in before.bins + after.bins), default=1) or 1
    return svg(
        790,
        420,
        f"Reliability: calibration error {before.ece:.3f} before and {after.ece:.3f} after calibration",
        _reliability_panel(48, "Before calibration", before.bins, most, "second"),
        _reliability_panel(448, "After calibration", after.bins, most, "first"),
    )


def _reliability_panel(left: float, title: str, bins: Sequence[ReliabilityBin], most: int, class_: str) -> list[Markup]:
    panel = Panel(Scale(0, 1, left, left + 322), Scale(0, 1, 250, 34))
    filled = [bin_ for bin_ in bins if bin_.count]
    fifths = (0, 0.2, 0.4, 0.6, 0.8, 1)
    diagonal = h("line", class_="guide", x1=panel.x(0), y1=panel.y(0), x2=panel.x(1), y2=panel.y(1))
    placed = [(panel.x(bin_.mean_probability), panel.y(bin_.share_true)) for bin_ in filled]
    dots = [
        h("circle", h("title", _bin_in_words(bin_)), class_=f"{class_} dot", cx=cx, cy=cy, r=4)
        for bin_, (cx, cy) in zip(filled, placed, strict=True)
    ]
    drawn = [
        *grid(panel, fifths, fifths, "probability that the model states"),
        diagonal,
        polyline(placed, class_),
        *dots,
    ]
    return [text(left, 18, title, "strong"), *drawn, *_bin_counts(panel.x, filled, most, class_)]


def _bin_counts(x: Scale, bins: Sequence[ReliabilityBin], most: int, class_: str) -> list[Markup]:
    """A bar a bin with its number above, standing under the panel that shares its x."""
    y = Scale(0, most, 396, 330)
    caption = text((x.start + x.end) / 2, 412, "how many probabilities fall into each bin", "axis", "middle")
    line = h("line", class_="grid", x1=x.start, x2=x.end, y1=y.start, y2=y.start)
    return [line, caption, *(mark for bin_ in bins for mark in _bin_count(x, y, bin_, class_))]


def _bin_count(x: Scale, y: Scale, bin_: ReliabilityBin, class_: str) -> list[Markup]:
    start, end, top = x(bin_.low) + 1, x(bin_.high) - 1, y(bin_.count)
    bar = h("rect", h("title", _bin_in_words(bin_)), class_=f"{class_} bar", x=start, y=top, width=end - start,
            height=y.start - top)  # fmt: skip
    return [bar, text((start + end) / 2 + 3.5, top - 4, str(bin_.count), "small", turn=90)]


def _bin_in_words(bin_: ReliabilityBin) -> str:
    return (
        f"{bin_.low:.2f} to {bin_.high:.2f}: {bin_.count} probabilities, "
        f"{bin_.mean_probability:.3f} on average, {bin_.share_true:.3f} came true"
    )
