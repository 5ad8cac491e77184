"""The report as one HTML page that a person reads, prints and puts into an appendix; it loads nothing else."""

from collections.abc import Iterable
from itertools import groupby

from service.datasets.complaints import counted
from service.jobs.page import measured, probabilities, subsets, texts
from service.jobs.page.layout import FIGURES, figure, number, paragraph, percent, quiet, section, table
from service.jobs.page.markup import Child, Markup, document, h
from service.jobs.page.measured import BASELINE_NAMES, verdict
from service.jobs.page.plots import learning_curves
from service.jobs.page.style import STYLESHEET
from service.jobs.report import Baseline, Report, Reproduction

# sent with the page: it can run and load nothing, whatever a label or text holds
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
CONTENTS = {
    "baselines": "Simple methods",
    "labels": "Labels",
    "confusion": "Confusion",
    "calibration": "Probabilities",
    "thresholds": "Thresholds",
    "slices": "Parts",
    "leaks": "Seen before",
    "mistakes": "Mistakes",
    "suspects": "Labels to check",
    "selection": "How it was chosen",
    "again": "Run it again",
}
MEANINGS = {
    "accuracy": "share of test texts whose answer is wholly right",
    "macro_f1": "mean F1 of the labels, rare ones counting as much as frequent ones; 1 is perfect",
    "micro_f1": "F1 over all answers together, so that frequent labels count more",
    "samples_f1": "F1 of each text's labels, averaged over the texts",
    "hamming_loss": "share of single yes-or-no answers that are wrong; 0 is perfect",
    "kappa": "agreement with the labels in the data beyond what chance would bring; 1 is perfect, 0 is chance",
}


def render_page(report: Report, *, job_name: str = "") -> str:
    """A whole HTML document, to be sent with `PAGE_POLICY`. `job_name`, if any, stands in the title."""
    sections = [
        _headline(report),
        _warnings(report),
        measured.baselines(report),
        measured.labels(report),
        measured.confusion(report),
        probabilities.calibration(report),
        probabilities.thresholds(report),
        subsets.slices(report),
        subsets.leaks(report),
        texts.mistakes(report),
        texts.suspects(report),
        _selection(report),
        _again(report),
    ]
    title = f"Test report: {job_name}" if job_name else "Test report"
    return document(title=title, stylesheet=STYLESHEET, body=h("main", _head(report, job_name), sections))


def _head(report: Report, job_name: str) -> Markup:
    kind = "exactly one label per text" if report.task == "choosing" else "any number of labels per text"
    anchors = [name for name in CONTENTS if name != "thresholds" or report.task == "deciding"]
    entries = [h("li", h("a", CONTENTS[anchor], href=f"#{anchor}")) for anchor in anchors]
    return h(
        "header",
        h("h1", "Test report", [": ", h("bdi", job_name)] if job_name else None),
        quiet(f"A text classifier with {counted(len(report.labels), 'label')}, {kind}, measured on texts kept apart."),
        quiet("Model ", h("code", report.model_id), ", job ", h("code", report.job_id), ", data set ",
              h("code", report.dataset_id)),
        h("nav", h("ul", entries), aria_label="Contents"),
    )  # fmt: skip


def _headline(report: Report) -> Markup:
    test = report.test
    right = f"{test.rows - test.misclassified_rows} of {counted(test.rows, 'test text')}"
    strict = "" if report.task == "choosing" else ", counting a text as right only when all its labels are"
    cut = f"Too long, and read only in part: {counted(test.truncated_rows, 'test text')}."
    return section(
        "headline",
        "In short",
        paragraph(f"The model gets {right} right ({percent(test.accuracy)}){strict}. ",
                  _beside_the_baselines(report), class_="lead"),
        h("div", _tile(report, "macro_f1"), _tile(report, "accuracy"),
          h("div", h("span", "Test texts", class_="name"), h("b", str(test.rows)),
            h("span", "kept apart from training"), class_="tile"), class_="tiles"),
        table(
            "All figures. The 95 % interval says how far a figure may be off because the test texts are few: another "
            "draw of as many texts would give another value, most likely within it.",
            ["Figure", "Value", "95 % interval", "Meaning"],
            [_figure_row(report, name) for name in _measured_names(report)],
            words=(0, 3),
        ),
        quiet(cut) if test.truncated_rows else None,
    )  # fmt: skip


def _measured_names(report: Report) -> list[str]:
    """Macro-F1 and accuracy first; some figures exist for deciding only."""
    order = ["macro_f1", "accuracy", *FIGURES]
    return [name for name in dict.fromkeys(order) if name in report.test.intervals]


def _tile(report: Report, name: str) -> Markup:
    interval = report.test.intervals[name]
    words = f"95 % interval {number(interval.low)} to {number(interval.high)}"
    return h(
        "div", h("span", FIGURES[name], class_="name"), h("b", number(interval.value)), h("span", words), class_="tile"
    )


def _figure_row(report: Report, name: str) -> list[Child]:
    interval = report.test.intervals[name]
    between = f"{number(interval.low)}–{number(interval.high)}"
    return [FIGURES[name], number(interval.value), between, MEANINGS[name]]


def _beside_the_baselines(report: Report) -> str:
    """The share of right texts is said first, so a method that gets more of them right is said to."""
    ahead = [own for own in report.baselines if own.accuracy.value > report.test.accuracy]
    more = f" More texts are right by {' and '.join(map(_accuracy_of, ahead))}." if ahead else ""
    missing = "".join(
        f" Memory ran out for “{BASELINE_NAMES[own.name]}”, which was not measured."
        for own in report.unmeasured_baselines
    )
    return f"{_verdicts(report.baselines)}{more}{missing}"


def _accuracy_of(baseline: Baseline) -> str:
    return f"“{BASELINE_NAMES[baseline.name]}” ({percent(baseline.accuracy.value)})"


def _verdicts(baselines: list[Baseline]) -> str:
    if not baselines:
        return "It was not compared with any simple method."
    open_ones = [baseline for baseline in baselines if not baseline.beaten]
    if not open_ones:
        return f"In macro-F1 it is better than {_all_of(len(baselines))}, by more than chance explains."
    groups = groupby(sorted(open_ones, key=verdict), verdict)
    named = " and ".join(f"{words} than {_quoted(own)}" for words, own in groups)
    beaten = f"{len(baselines) - len(open_ones)} of {counted(len(baselines), 'simple method')}"
    return f"In macro-F1 it beats {beaten}; it is {named}."


def _quoted(baselines: Iterable[Baseline]) -> str:
    return " and ".join(f"“{BASELINE_NAMES[baseline.name]}”" for baseline in baselines)


def _all_of(amount: int) -> str:
    return "the one simple method" if amount == 1 else f"all {amount} simple methods"


def _warnings(report: Report) -> Markup:
    if not report.warnings:
        return section("warnings", "Warnings", paragraph("None."))
    notes = [h("li", h("span", note.message, dir="auto"), h("code", note.code)) for note in report.warnings]
    return section("warnings", "Warnings", h("ul", notes, class_="notes"))


def _selection(report: Report) -> Markup:
    kept = report.validation.best.get("epoch")
    before = report.selection.test_scored_before
    looks = (
        "No earlier job was scored on this test split."
        if before == 0
        else f"Earlier jobs were scored on this test split {counted(before, 'time')}. "
        "Each look that leads to another try makes the figures above a little too good."
    )
    return section(
        "selection",
        "How it was chosen",
        paragraph(
            f"The model was chosen on the validation texts alone, by {report.selection.chosen_by}: "
            f"epoch {kept} of {len(report.validation.history)} was kept. ",
            looks,
        ),
        figure(
            learning_curves(report.validation.history, float(kept) if isinstance(kept, int | float) else None),
            "One dot an epoch (a pass over the training texts). Loss is better the lower, macro-F1 the higher. Compare "
            "each curve with itself alone: in training the loss weights the labels (unless class_weight is none) and "
            "is of the weights as they are at that step, with dropout; on validation each text counts once, and it is "
            f"of calibrated probabilities of what would be published.{_at_one_half(report)}",
        ),
        report.repeats and subsets.seeds(report.repeats),
    )


def _at_one_half(report: Report) -> str:
    if report.task == "choosing":
        return ""
    return " Macro-F1 on validation gives each label from 0.5, before thresholds are fitted: on test it may be higher."


def _again(report: Report) -> Markup:
    again = report.reproduction
    facts = [
        ["Data set (SHA-256)", again.dataset_sha256],
        ["Base model", again.base_model],
        *([name, value] for name, value in _base_model_files(again) if value),
        ["Seed", str(again.seed)],
        ["Device", again.device],
        *([name, _plain(value)] for name, value in again.hyperparameters.items() if name != "seed"),
        *([f"Version of {name}", version] for name, version in again.versions.items()),
    ]
    rows: list[list[Child]] = [[name, h("code", value)] for name, value in facts]
    return section(
        "again",
        "How to run it again",
        paragraph(
            "The same data, settings and versions on the same kind of machine should give the same figures again."
        ),
        table("Everything that the result depends on.", ["What", "Value"], rows, words=(0, 1)),
    )


def _base_model_files(again: Reproduction) -> list[tuple[str, str | None]]:
    """Reports of earlier versions lack both."""
    return [
        ("Base model's files (SHA-256)", again.base_model_sha256),
        ("Base model's commit on the hub", again.base_model_commit),
    ]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
