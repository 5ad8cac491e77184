"""The sections that say how well it does: against simple methods, label by label, and what it confuses."""

import math

from service.datasets.complaints import counted
from service.jobs.page.label_plots import confusion_heat_map, label_bars
from service.jobs.page.layout import figure, inline, paragraph, quiet, section, signed, table, with_interval
from service.jobs.page.markup import Markup, h
from service.jobs.page.plots import beside_baselines
from service.jobs.report import Baseline, ConfusionMatrix, Interval, LabelResult, Report

BASELINE_NAMES = {
    "majority": "Always the most frequent answer",
    "tfidf_logistic_regression": "Word counts (TF-IDF), logistic regression",
    "frozen_embeddings_logistic_regression": "Untuned base model, logistic regression",
}
MOST_DRAWN = 30  # labels in a heat map; more would be too small to read
MOST_PAIRS = 30
BARS_IN_A_FIGURE = 38  # so that each figure fits on a printed page


def baselines(report: Report) -> Markup:
    if not report.baselines:
        return section("baselines", "Compared with simple methods", paragraph("No simple method was measured."))
    named = [(BASELINE_NAMES[baseline.name], baseline) for baseline in report.baselines]
    return section(
        "baselines",
        "Compared with simple methods",
        paragraph(
            "Simple methods, trained and measured on the same texts, show what little effort would have reached."
        ),
        figure(
            beside_baselines(
                report.test.intervals["macro_f1"], [(name, baseline.macro_f1) for name, baseline in named]
            ),
            "Each dot is a macro-F1, each line its 95 % interval; the band is this model's. Whether the model is "
            "better is judged on the difference, text by text, so it can be sure even where the lines overlap.",
        ),
        table(
            "Gain is the model's macro-F1 less that of the simple method, with its 95 % interval.",
            ["Method", "Macro-F1 (95 %)", "Accuracy (95 %)", "Gain (95 %)", "The model is"],
            [
                [name, with_interval(b.macro_f1), with_interval(b.accuracy), _gain(b.gain), verdict(b)]
                for name, b in named
            ],
            words=(0, 4),
        ),
        [
            paragraph(f"Not measured, because memory ran out: “{BASELINE_NAMES[own.name]}”.")
            for own in report.unmeasured_baselines
        ],
    )


def verdict(baseline: Baseline) -> str:
    if baseline.beaten:
        return "better"
    if baseline.gain.high < 0:
        return "worse"
    return "no better" if baseline.gain.value <= 0 else "not surely better"


def _gain(gain: Interval) -> str:
    return f"{signed(gain.value)} ({signed(gain.low)} to {signed(gain.high)})"


def labels(report: Report) -> Markup:
    ranked = sorted(report.test.per_label.items(), key=lambda item: -item[1].support)
    kappas = any(result.kappa for _, result in ranked)
    pages = math.ceil(len(ranked) / BARS_IN_A_FIGURE)
    size = math.ceil(len(ranked) / pages)  # even parts: no figure is left with one bar
    parts = [ranked[start : start + size] for start in range(0, len(ranked), size)]
    return section(
        "labels",
        "Label by label",
        paragraph(
            h("b", "Precision"), ": of the texts that were given the label, the share that truly have it. ",
            h("b", "Recall"), ": of the texts that truly have it, the share that were given it. ",
            h("b", "F1"), " is high only when both are. 1 is perfect.",
        ),
        [figure(label_bars(part), _bars_in_words(number, len(parts))) for number, part in enumerate(parts, start=1)],
        table(
            "The same as numbers, with 95 % intervals; the most frequent label first.",
            ["Label", "Test texts", "F1", "Precision", "Recall", *(["Cohen's kappa"] if kappas else [])],
            [_label_row(label, result, kappas) for label, result in ranked],
        ),
        quiet(
            "Cohen's kappa is the agreement with the data beyond what chance would bring, for each label's yes or no: "
            "1 is perfect, 0 is chance. A dash: nothing to agree on."
        ) if kappas else None,
    )  # fmt: skip


def _bars_in_words(number: int, parts: int) -> str:
    part = f" (Part {number} of {parts}.)" if parts > 1 else ""
    return (
        "Bars are the figures, thin lines their 95 % intervals, from the most to the least frequent label. "
        f"A long line means: too few test texts to know well.{part}"
    )


def _label_row(label: str, result: LabelResult, kappas: bool) -> list[str]:
    figures = (result.f1, result.precision, result.recall)
    kappa = with_interval(result.kappa) if result.kappa else "–"
    return [label, str(result.support), *map(with_interval, figures), *([kappa] if kappas else [])]


def confusion(report: Report) -> Markup:
    title = "What is taken for what"
    matrix = report.test.confusion_matrix
    if matrix is None:
        return section("confusion", title, _label_counts(report))
    pairs = confused_pairs(matrix)
    if len(matrix.labels) > MOST_DRAWN:
        return section("confusion", title, _pairs_table(pairs, len(matrix.labels)))
    caption = (
        "Each row holds the texts that truly have that label, spread over the labels that they were given; the "
        "stronger the colour, the larger the share of the row. Framed cells are right answers. "
    )
    return section("confusion", title, figure(confusion_heat_map(matrix), caption, _most_confused(pairs)))


def confused_pairs(matrix: ConfusionMatrix) -> list[tuple[int, str, str]]:
    """(texts, true label, given label) of every mistake that occurred, the most frequent first."""
    pairs = [
        (count, matrix.labels[truth], matrix.labels[given])
        for truth, row in enumerate(matrix.counts)
        for given, count in enumerate(row)
        if count and truth != given
    ]
    return sorted(pairs, key=lambda pair: -pair[0])


def _most_confused(pairs: list[tuple[int, str, str]]) -> Markup | str:
    if not pairs:
        return "No text was given a wrong label."
    count, truth, given = pairs[0]
    return h("span", "Most often, ", inline(truth), " was taken for ", inline(given), f" ({counted(count, 'text')}).")


def _pairs_table(pairs: list[tuple[int, str, str]], total: int) -> list[Markup]:
    shown = pairs[:MOST_PAIRS]
    words = (
        f"{total} labels are too many for a picture. Of {len(pairs)} pairs of labels that were confused at least once, "
        f"the {len(shown)} most frequent follow; the report as JSON has the whole matrix."
    )
    rows = [[truth, given, str(count)] for count, truth, given in shown]
    caption = "The most confused pairs of labels."
    return [paragraph(words), table(caption, ["True label", "Given label", "Texts"], rows, words=(0, 1))]


def _label_counts(report: Report) -> Markup:
    counts = report.test.label_counts or {}
    order = sorted(counts, key=lambda label: -report.test.per_label[label].support)
    rows = [
        [label, str(c.true_positives), str(c.false_negatives), str(c.false_positives), str(c.true_negatives)]
        for label, c in ((label, counts[label]) for label in order)
    ]
    caption = "A text may have several labels, so each label is counted on its own."
    heads = ["Label", "Rightly given", "Missed", "Wrongly given", "Rightly not given"]
    return table(caption, heads, rows)
