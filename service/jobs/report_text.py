"""The report as text: scikit-learn's table, and below it a line for each thing that it has no place for."""

from collections.abc import Iterator

from service.jobs.page.measured import BASELINE_NAMES
from service.jobs.report import Interval, Report


def render_text(report: Report, table: str) -> str:
    """`table`: scikit-learn's classification report."""
    return "".join([table, "\n", *(f"{line}\n" for line in _lines(report))])


def _lines(report: Report) -> Iterator[str]:
    if kappa := report.test.intervals.get("kappa"):
        yield f"Cohen's kappa {_figure(kappa)}: agreement beyond chance, 1 is perfect"
    for label, own in report.test.per_label.items():
        if own.kappa:
            yield f"Cohen's kappa of {label} {_figure(own.kappa)}"
    yield from _calibration(report)
    if counts := report.suspect_counts:
        yield (
            f"Training labels: {counts.contradicted} of {counts.judged} that could be judged are contradicted, "
            f"{counts.suspected} of them surely enough to be looked at (hard is not wrong)"
        )
    for baseline in report.unmeasured_baselines:
        yield f"Not measured, because memory ran out: {BASELINE_NAMES[baseline.name]}"
    for warning in report.warnings:
        yield f"Warning {warning.code}: {warning.message}"


def _calibration(report: Report) -> Iterator[str]:
    after = report.calibration.after
    scale = "sum over labels, 0 to 2" if report.task == "choosing" else "mean over labels, 0 to 1"
    yield f"ECE {_figure(after.intervals['ece'])}{_noise(after.ece_if_calibrated)}"
    if after.given:
        yield (
            f"ECE of the {after.given.claims} labels that were given {_figure(after.given.ece)}"
            f"{_noise(after.given.ece_if_calibrated)}"
        )
    yield f"Brier score {_figure(after.intervals['brier'])} ({scale})"


def _noise(figure: float | None) -> str:
    return "" if figure is None else f"; a perfectly calibrated model would show {figure:.3f} here"


def _figure(interval: Interval) -> str:
    return f"{interval.value:.3f} (95 % interval {interval.low:.3f} to {interval.high:.3f})"
