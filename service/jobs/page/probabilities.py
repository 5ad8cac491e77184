"""The sections on probabilities: whether they can be believed, and from which one a label is given."""

from service.datasets.complaints import counted
from service.jobs.page.layout import figure, number, paragraph, section, table, with_interval
from service.jobs.page.markup import Child, Markup
from service.jobs.page.plots import reliability
from service.jobs.report import Calibration, Report


def calibration(report: Report) -> Markup:
    subject = "the label it gives" if report.task == "choosing" else "each label"
    return section(
        "calibration",
        "Can its probabilities be believed?",
        paragraph(
            f"The model states a probability for {subject}. Ideally, of all answers with 0.8, eight in ten are right. ",
            _scaling_in_words(report.calibration),
        ),
        figure(
            reliability(report.calibration),
            "Dots on the dashed line: probabilities can be believed. Below it the model is too sure, above it not sure "
            "enough. Dots that stand for few probabilities (small bars) say little.",
        ),
        table(
            "All errors are better the smaller they are. ECE: how far stated probabilities are from what came true, "
            f"on average. Brier: squared error of the probabilities, {_brier_in_words(report)}. Without fault: the ECE "
            "that a perfectly calibrated model would show on so few texts, by luck alone; a value near it is no fault.",
            ["Error", "Before (95 %)", "After (95 %)", "Without fault"],
            _errors(report.calibration),
        ),
    )


def _brier_in_words(report: Report) -> str:
    if report.task == "choosing":
        return "summed over the labels, from 0 to 2"
    return "the mean over the labels, from 0 to 1"


def _errors(calibration: Calibration) -> list[list[Child]]:
    """Where a label is given from few probabilities, an ECE of those alone: of all, most are of labels that plainly do
    not hold."""
    before, after = calibration.before, calibration.after
    rows: list[list[Child]] = [
        [name, with_interval(before.intervals[error]), with_interval(after.intervals[error]), _or_dash(noise)]
        for error, name, noise in (
            ("ece", "ECE (expected calibration error)", after.ece_if_calibrated),
            ("brier", "Brier score", None),
        )
    ]
    if before.given and after.given:
        name = f"ECE of the {counted(after.given.claims, 'label')} that were given"
        figures = with_interval(before.given.ece), with_interval(after.given.ece)
        rows.insert(1, [name, *figures, _or_dash(after.given.ece_if_calibrated)])
    return rows


def _or_dash(value: float | None) -> str:
    return "–" if value is None else number(value)


def _scaling_in_words(calibration: Calibration) -> str:
    temperature, share = calibration.temperature, calibration.prior_share
    effect = "made less extreme" if temperature > 1 else "made more extreme" if temperature < 1 else "left as they were"
    back = (
        "In training rare labels count as much as frequent ones; probabilities were moved back to how frequent each "
        f"label is, by {share:.2f} of the way. "
    )
    return (
        f"On the validation texts, probabilities were {effect}: temperature {temperature:.3f}. "
        f"{back if share else ''}The published model has this built in."
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
