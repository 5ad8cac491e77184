from parts.reports import make_report
from service.jobs.report import UnmeasuredBaseline
from service.jobs.report_text import render_text

TABLE = "              precision    recall  f1-score   support\n"


def test_below_scikit_learns_table_stands_what_it_has_no_place_for() -> None:
    missing = UnmeasuredBaseline(name="tfidf_logistic_regression", reason="out_of_memory")
    made = make_report(unmeasured_baselines=[missing])
    text = render_text(made, TABLE)
    assert text.startswith(f"{TABLE}\n")
    kappa, ece = made.test.intervals["kappa"], made.calibration.after
    assert f"Cohen's kappa {kappa.value:.3f} (95 % interval {kappa.low:.3f} to {kappa.high:.3f})" in text
    assert f"ECE {ece.ece:.3f} (" in text
    assert "a perfectly calibrated model would show 0.021 here" in text
    assert "(sum over labels, 0 to 2)" in text
    assert "71 of 298 that could be judged are contradicted, 12 of them" in text
    assert "Not measured, because memory ran out: Word counts (TF-IDF), logistic regression" in text
    assert f"Warning few_test_rows: {made.warnings[0].message}" in text


def test_for_deciding_each_label_has_a_kappa() -> None:
    made = make_report("deciding", ["a", "b"])
    text = render_text(made, TABLE)
    for label, own in made.test.per_label.items():
        assert own.kappa is not None
        assert f"Cohen's kappa of {label} {own.kappa.value:.3f} (" in text
    given = made.calibration.after.given
    assert given is not None
    assert f"ECE of the {given.claims} labels that were given {given.ece.value:.3f}" in text
    assert "(mean over labels, 0 to 1)" in text
