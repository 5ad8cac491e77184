"""What a reader of the figures must not overlook."""

from collections.abc import Sequence

from service.jobs.report import Baseline, Repeats, ReportWarning, TestResult, WithoutLeaks

FEW_TEST_ROWS = 100
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
) -> list[ReportWarning]:
    """In the order of how much they matter."""
    found = []
    if without_leaks and without_leaks.leaked_rows >= MUCH_LEAKED * test.rows:
        found.append(_leaked(without_leaks, test))
    found += [_not_beaten(baseline, test) for baseline in baselines if not baseline.beaten]
    if repeats and (warning := _seeds_differ(repeats, baselines)):
        found.append(warning)
    if test.rows < FEW_TEST_ROWS:
        message = (
            f"only {test.rows} test texts: read the intervals, not the figures; label more texts for the test split"
        )
        found.append(ReportWarning(code="few_test_rows", message=message))
    if test.truncated_rows:
        share = test.truncated_rows / test.rows
        message = (
            f"{test.truncated_rows} of {test.rows} test texts ({share:.1%}) are longer than max_length and were cut; "
            "ask for a larger one, split the texts, or put first what decides the label"
        )
        found.append(ReportWarning(code="truncation", message=message))
    if unseen := [label for label, own in test.per_label.items() if own.support == 0]:
        listed = ", ".join(map(repr, unseen[:10])) + (", …" if len(unseen) > 10 else "")
        message = f"the test split has no example of {listed}, so nothing is known of them; add some"
        found.append(ReportWarning(code="labels_not_tested", message=message))
    return found


def _leaked(without: WithoutLeaks, test: TestResult) -> ReportWarning:
    share = without.leaked_rows / test.rows
    seen = f"{without.leaked_rows} of {test.rows} test texts ({share:.1%}) are, or nearly, in train or val too"
    advice = "remove them from the test split (leakage and near_leakage of the data set name them) or send another one"
    if without.macro_f1 is None:
        words = "so no figure here says what the model makes of new texts"
    else:
        words = f"so the figures flatter it: without them macro-F1 is {without.macro_f1.value:.3f}, with them "
        words += f"{test.macro_f1:.3f}"
    return ReportWarning(code="test_leaked", message=f"{seen}, {words}; {advice}")


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
    return ReportWarning(
        code="baseline_not_beaten",
        message=f"on {test.rows} test texts the model {words} ({figures}); label more texts, or use the simpler one",
    )


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
