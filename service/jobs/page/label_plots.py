"""The plots that have a row for each label: bars with whiskers, and the confusion matrix as a heat map."""

from collections.abc import Sequence

from service.jobs.page.drawing import Scale, label_text, svg, text, upright_grid, whisker, width_of
from service.jobs.page.markup import Markup, h
from service.jobs.report import ConfusionMatrix, Interval, LabelResult

ROW = 20
DARK_FROM = 0.63  # from this share on, letters need the other colour to be read
FIGURES = (("F1", "first"), ("Precision", "second"), ("Recall", "third"))


def label_bars(results: Sequence[tuple[str, LabelResult]]) -> Markup:
    """A row a label with its F1, precision and recall side by side, each a bar with its 95 % whisker."""
    bottom = 32 + ROW * len(results)
    scales = [Scale(0, 1, 282 + 186 * number, 442 + 186 * number) for number in range(3)]
    heads = [
        [text(scale.start, 16, name, "strong"), *upright_grid(scale, 26, bottom)]
        for scale, (name, _) in zip(scales, FIGURES, strict=True)
    ]
    rows = [_label_row(scales, 36 + ROW * number, *row) for number, row in enumerate(results)]
    description = f"F1, precision and recall of {len(results)} labels with 95 % intervals; the table has the numbers"
    return svg(836, bottom + 24, description, heads, text(268, 16, "label (test texts)", "axis", "end"), rows)


def _label_row(scales: Sequence[Scale], y: float, label: str, result: LabelResult) -> list[Markup]:
    figures = zip(scales, (result.f1, result.precision, result.recall), FIGURES, strict=True)
    name = [label_text(228, y + 4, label, 26), text(268, y + 4, f"({result.support})", "axis", "end")]
    return name + [mark for scale, figure, (_, class_) in figures for mark in _bar(scale, y, figure, class_)]


def _bar(x: Scale, y: float, figure: Interval, class_: str) -> list[Markup]:
    words = f"{figure.value:.3f}, from {figure.low:.3f} to {figure.high:.3f}"
    width = x(figure.value) - x.start
    bar = h("rect", h("title", words), class_=f"{class_} bar", x=x.start, y=y - 6, width=width, height=12)
    return [bar, whisker(x, y, figure.low, figure.high, "ink", 3)]


def confusion_heat_map(matrix: ConfusionMatrix) -> Markup:
    """Rows are true labels, columns given ones; the colour is the stronger the larger the share of the row."""
    labels = matrix.labels
    cell = min(54.0, max(22.0, 560 / len(labels)))
    left, top = 22 + max(70, width_of(labels, 24)), 24 + max(16, 0.72 * width_of(labels, 18))
    side = cell * len(labels)
    columns = [
        label_text(left + cell * (number + 0.5) + 3, top - 6, label, 18, anchor="start", turn=45)
        for number, label in enumerate(labels)
    ]
    rows = [_heat_row(left, top + cell * number, cell, number, matrix) for number in range(len(labels))]
    axes = [
        text(left - 10, top - 10, "true label ↓", "axis", "end"),
        text(left - 10, top - 26, "given label →", "axis", "end"),
    ]
    right = sum(sum(row[number : number + 1]) for number, row in enumerate(matrix.counts))
    total = sum(map(sum, matrix.counts))
    description = (
        f"Confusion matrix of {len(labels)} labels: {right} of {total} texts lie on the diagonal, given rightly"
    )
    return svg(left + side + 100, top + side + 4, description, axes, columns, rows)


def _heat_row(left: float, y: float, cell: float, truth: int, matrix: ConfusionMatrix) -> list[Markup]:
    counts, labels = matrix.counts[truth], matrix.labels
    total = sum(counts) or 1
    marks = [label_text(left - 10, y + cell / 2 + 4, labels[truth], 24)]
    for given, count in enumerate(counts):
        words = f"{labels[truth]} → {labels[given]}: {count}"
        marks += _heat_cell(left + cell * given, y, cell, count, count / total, words, truth == given)
    return marks


def _heat_cell(x: float, y: float, cell: float, count: int, share: float, words: str, right: bool) -> list[Markup]:
    """The number of texts on its shade; the diagonal, where right answers are, has a frame."""
    box: dict[str, float] = {"x": x + 1, "y": y + 1, "width": cell - 2, "height": cell - 2}
    frame = h("rect", h("title", words), class_="cell right" if right else "cell", **box)
    if not count:
        return [frame]
    number = text(x + cell / 2, y + cell / 2 + 4, str(count), "on-heat" if share >= DARK_FROM else "", "middle")
    return [h("rect", class_="heat", fill_opacity=share, **box), frame, number]
