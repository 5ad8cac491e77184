"""The sections on probabilities: whether they can be believed, and from which one a label is given."""

from service.jobs.page.layout import figure, number, paragraph, section, table, with_interval
from service.jobs.page.markup import Markup
from service.jobs.page.plots import reliability
from service.jobs.report import Calibration, Report


def calibration(report: Report) -> Markup:
    before, after = report.calibration.before.intervals, report.calibration.after.intervals
    subject = "the label it gives" if report.task == "choosing" else "each label"
    return section(
        "calibration",
        "Can its probabilities be believed?",
        paragraph(
            f"The model states a probability for {subject}. Ideally, of all answers with 0.8, eight in ten are right. ",
            _temperature_in_words(report.calibration),
        ),
        figure(
            reliability(report.calibration),
            "Dots on the dashed line: probabilities can be believed. Below it the model is too sure, above it not sure "
            "enough. Dots that stand for few probabilities (small bars) say little.",
        ),
        table(
            "Both errors are better the smaller they are. ECE: how far stated probabilities are from what came true, "
            "on average. Brier: mean squared error of the probabilities.",
            ["Error", "Before (95 %)", "After (95 %)"],
            [
                [name, with_interval(before[error]), with_interval(after[error])]
                for error, name in (("ece", "ECE (expected calibration error)"), ("brier", "Brier score"))
            ],
        ),
    )


def _temperature_in_words(calibration: Calibration) -> str:
    temperature = calibration.temperature
    effect = "made less extreme" if temperature > 1 else "made more extreme" if temperature < 1 else "left as they were"
    return (
        f"On the validation texts, probabilities were {effect}: temperature {temperature:.3f}. "
        "The published model has this built in."
    )


def thresholds(report: Report) -> Markup | None:
    """For deciding only: the probability from which each label is given."""
    if report.task != "deciding":
        return None
    title, fitted = "From which probability a label is given", report.thresholds
    if not fitted:
        return section("thresholds", title, paragraph("No thresholds were fitted; each label is given from 0.5."))
    order = sorted(fitted, key=lambda label: -report.test.per_label[label].support)
    caption = "Fitted on the validation texts, never on the test texts."
    rows = [[label, number(fitted[label])] for label in order]
    return section("thresholds", title, table(caption, ["Label", "Given from"], rows))
