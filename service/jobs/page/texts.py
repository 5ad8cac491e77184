"""The sections that show texts: mistakes on the test split, and training rows whose label looks wrong."""

from service.datasets.complaints import counted
from service.jobs.page.layout import names, number, paragraph, section, table, text_cell
from service.jobs.page.markup import Markup, h
from service.jobs.report import Misclassified, Report, Suspect, SuspectCounts

MOST_SHOWN = 50


def mistakes(report: Report) -> Markup:
    title, total = "Texts that it got wrong", report.test.misclassified_rows
    shown = report.test.misclassified[:MOST_SHOWN]
    if not shown:
        return section("mistakes", title, paragraph("None: every test text was given the right labels."))
    return section(
        "mistakes",
        title,
        paragraph(f"{counted(total, 'test text')} in all; {_shown(len(shown), total)}, the surest mistakes first. ",
                  "Some may be right after all: then the label in the data is wrong."),
        table(
            f"Rows count from 0 in {shown[0].split} as it was sent; the probabilities are of the given labels and of "
            "those that were missed. Long texts are cut.",
            ["Row", "Text", "True", "Given", "Given: probability", "Missed: probability"],
            [_mistake(row) for row in shown],
            words=(1, 2, 3),
        ),
    )  # fmt: skip


def _mistake(row: Misclassified) -> list[Markup | str]:
    missed = [label for label in row.true_labels if label not in row.predicted_labels]
    scores = (_scores_of(row.predicted_labels, row), _scores_of(missed, row))
    return [str(row.row), text_cell(row.text), names(row.true_labels), names(row.predicted_labels), *scores]


def _scores_of(labels: list[str], row: Misclassified) -> Markup:
    """Reports of earlier versions lack those of labels that were given beyond the largest ten."""
    shown = [number(row.scores[label]) for label in labels if label in row.scores]
    return h("td", ", ".join(shown) or "–", class_="several")


def suspects(report: Report) -> Markup:
    title, found = "Training labels to check", report.suspects
    counts = report.suspect_counts and _counts_in_words(report.suspect_counts)
    if not found:
        return section("suspects", title, paragraph("None stood out. ", counts))
    shown = found[:MOST_SHOWN]
    words = (
        f"The {counted(len(shown), 'training text')} whose label a simple classifier, which had not seen them, "
        "contradicts most. They may be mislabelled, or merely hard: a person has to look. "
    )
    return section(
        "suspects",
        title,
        paragraph(words, counts),
        table(
            "Rows count from 0 in train as it was sent; the probability is of the label in the data.",
            ["Row", "Text", "In the data", "Suggested", "Probability"],
            [_suspect(row) for row in shown],
            words=(1, 2, 3),
        ),
    )


def _counts_in_words(counts: SuspectCounts) -> str:
    """How hard the set is for it: where it contradicts half of the labels, that it contradicts one says little."""
    alone = counts.rows - counts.judged
    left_out = f"; {alone} could not be judged, for hardly another text has their label" if alone else ""
    return (
        f"It contradicts {counts.contradicted} of {counted(counts.judged, 'training text')}{left_out}. Of these it is "
        f"as sure of another label as it usually is of texts that have it in {counts.suspected}. A label that is "
        "contradicted need not be wrong: where many are, the texts are hard, and most of those listed may be right."
    )


def _suspect(row: Suspect) -> list[Markup | str]:
    return [str(row.row), text_cell(row.text), names(row.labels), names(row.suggested), number(row.probability)]


def _shown(shown: int, total: int) -> str:
    return "all are shown" if shown == total else f"{shown} are shown"
