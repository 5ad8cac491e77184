"""What a reader of the figures must not overlook."""

from collections.abc import Sequence

from service.datasets.complaints import counted, listed
from service.jobs.report import Baseline, Repeats, ReportWarning, TestResult, UnmeasuredBaseline, WithoutLeaks
from worker.evaluation.metrics import Binary

FEW_TEST_ROWS, FEW_VAL_ROWS = 100, 50
FEW_POSITIVES = 5  # in validation: a label's threshold is then four fifths the one for all, or more
MUCH_LEAKED = 0.1  # of the test rows: if the model knows these by heart, accuracy is up to a tenth too high
NAMES = {
    "majority": "always giving the commonest label",
    "tfidf_logistic_regression": "TF-IDF with logistic regression",
    "frozen_embeddings_logistic_regression": "logistic regression on the frozen base model",
}


def report_warnings(
    test: TestResult,
    baselines: Sequence[Baseline],
    repeats: Repeats | None = None,
    without_leaks: WithoutLeaks | None = None,
    unmeasured: Sequence[UnmeasuredBaseline] = (),
    val: Binary | None = None,
) -> list[ReportWarning]:
    """In the order of how much they matter. `val`: labels of the validation texts, 0/1 of shape (rows, labels)."""
    found = [
        without_leaks and _leaked(without_leaks, test),
        *(_not_beaten(baseline, test) for baseline in baselines if not baseline.beaten),
        _less_accurate(baselines, test),
        *(_not_measured(baseline) for baseline in unmeasured),
        _seeds_differ(repeats, baselines) if repeats and baselines else None,
        _few(test),
        None if val is None else _few_to_validate(val, test),
        _cut(test),
        _untested(test),
    ]
    return [warning for warning in found if warning]


def _leaked(without: WithoutLeaks, test: TestResult) -> ReportWarning | None:
    if without.leaked_rows < MUCH_LEAKED * test.rows:
        return None
    if without.accuracy is None:
        words = "so no figure here says what the model makes of new texts"
    else:
        figures = f"without them accuracy is {without.accuracy.value:.3f}, with them {test.accuracy:.3f}"
        words = f"so the figures may flatter the model: {figures}"
    message = (
        f"{_share(without.leaked_rows, test)} {'is' if without.leaked_rows == 1 else 'are'}, or nearly, in train or "
        f"val too, {words}; remove from the test split what leaked (leakage and near_leakage of the data set name the "
        "rows) or send another one"
    )
    return ReportWarning(code="test_leaked", message=message)


def _few(test: TestResult) -> ReportWarning | None:
    if test.rows >= FEW_TEST_ROWS:
        return None
    advice = "read the intervals, not the figures; label more texts for the test split"
    return ReportWarning(code="few_test_rows", message=f"only {counted(test.rows, 'test text')}: {advice}")


def _few_to_validate(val: Binary, test: TestResult) -> ReportWarning | None:
    deciding = test.label_counts is not None
    rare = int((val.sum(axis=0) < FEW_POSITIVES).sum()) if deciding else 0
    if len(val) >= FEW_VAL_ROWS and not rare:
        return None
    chosen = "the epoch, the temperature and the thresholds" if deciding else "the epoch and the temperature"
    few = f"only {counted(len(val), 'validation text')} chose {chosen}" if len(val) < FEW_VAL_ROWS else ""
    there = f"{rare} of {counted(val.shape[1], 'label')} {'has' if rare == 1 else 'have'} fewer than {FEW_POSITIVES}"
    mostly = "its threshold is" if rare == 1 else "their thresholds are"
    scarce = f"{there} of the {counted(len(val), 'validation text')}, so {mostly} mostly the one for all labels"
    words = "; ".join(part for part in (few, scarce if rare else "") if part)
    return ReportWarning(code="few_val_rows", message=f"{words}; label more texts for the validation split")


def _cut(test: TestResult) -> ReportWarning | None:
    if not test.truncated_rows:
        return None
    cut = "is longer than max_length and was" if test.truncated_rows == 1 else "are longer than max_length and were"
    advice = "ask for a larger one, split the texts, or put first what decides the label"
    return ReportWarning(code="truncation", message=f"{_share(test.truncated_rows, test)} {cut} cut; {advice}")


def _share(rows: int, test: TestResult) -> str:
    return f"{rows} of {counted(test.rows, 'test text')} ({rows / test.rows:.1%})"


def _untested(test: TestResult) -> ReportWarning | None:
    unseen = [label for label, own in test.per_label.items() if own.support == 0]
    if not unseen:
        return None
    tested = [own.f1.value for own in test.per_label.values() if own.support]
    other = f"over the other {counted(len(tested), 'label')} it is {sum(tested) / len(tested):.3f}" if tested else ""
    them, count = ("it", "it counts") if len(unseen) == 1 else ("them", "they count")
    known = f"so nothing is known of {them}, and {count} as 0 in macro-F1{other and f' ({other})'}; add some"
    return ReportWarning(
        code="labels_not_tested", message=f"the test split has no example of {listed(unseen, most=10)}, {known}"
    )


def _not_beaten(baseline: Baseline, test: TestResult) -> ReportWarning:
    gain = baseline.gain
    if gain.value <= 0:
        words = f"is no better than {NAMES[baseline.name]}"
    elif gain.low > 0:
        words = f"did better than {NAMES[baseline.name]}, but these are too few to be sure of it"
    else:
        words = f"is not surely better than {NAMES[baseline.name]}"
    figures = (
        f"macro-F1 {test.macro_f1:.3f} against {baseline.macro_f1.value:.3f}, "
        f"95 % interval of the gain {gain.low:+.3f} to {gain.high:+.3f}"
    )
    message = (
        f"on {counted(test.rows, 'test text')} the model {words} ({figures}); label more texts, or do with the simpler "
        "one, which is served elsewhere"
    )
    return ReportWarning(code="baseline_not_beaten", message=message)


def _less_accurate(baselines: Sequence[Baseline], test: TestResult) -> ReportWarning | None:
    ahead = [baseline for baseline in baselines if baseline.accuracy.value > test.accuracy]
    if not ahead:
        return None
    best = max(ahead, key=lambda baseline: baseline.accuracy.value)
    figures = f"{NAMES[best.name]} gets {best.accuracy.value:.3f} of {counted(test.rows, 'test text')} right"
    choosing = test.label_counts is None
    why = "training counts rare labels as much as frequent ones" if choosing else "thresholds are fitted for F1"
    way = "ask for class_weight none" if choosing else "set higher thresholds of your own on the scores"
    message = (
        f"{figures}, the model {test.accuracy:.3f} ({why}); if you need right texts more than macro-F1, "
        f"{way} or use the simpler method"
    )
    return ReportWarning(code="accuracy_below_baseline", message=message)


def _not_measured(baseline: UnmeasuredBaseline) -> ReportWarning:
    message = (
        f"memory ran out as {NAMES[baseline.name]} was trained, so that nothing is known of how the model compares "
        "with it; give the worker more memory, or train on fewer texts"
    )
    return ReportWarning(code="baseline_not_measured", message=message)


def _seeds_differ(repeats: Repeats, baselines: Sequence[Baseline]) -> ReportWarning | None:
    """Where the mean is not above a baseline that is not beaten either, `baseline_not_beaten` says what matters."""
    best = max(baselines, key=lambda baseline: baseline.macro_f1.value)
    lead = repeats.macro_f1_mean - best.macro_f1.value
    if repeats.macro_f1_sd <= max(lead, 0.0) or (lead <= 0 and not best.beaten):
        return None
    compared = (
        f"more than its mean is above the best baseline's ({lead:+.3f})"
        if lead > 0
        else f"and only the published run beats the best baseline: the mean does not ({lead:+.3f})"
    )
    message = (
        f"over {len(repeats.runs)} seeds macro-F1 varies by {repeats.macro_f1_sd:.3f} (standard deviation), "
        f"{compared}: one run proves little here; label more texts"
    )
    return ReportWarning(code="seeds_differ", message=message)
