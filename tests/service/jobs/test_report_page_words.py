"""What the page of a report says: figures, counts, and how they are to be read."""

from parts.report_pages import CASES, Page, shown
from parts.reports import make_report
from service.jobs.page.texts import MOST_SHOWN
from service.jobs.report import Subset, UnmeasuredBaseline, WithoutLeaks


def test_the_numbers_are_those_of_the_report() -> None:
    made = CASES["choosing"]
    text = Page(made).text
    for figure in (*made.test.intervals.values(), *(b.macro_f1 for b in made.baselines)):
        assert f"{figure.value:.3f}" in text
        assert f"{figure.low:.3f}–{figure.high:.3f}" in text
    for label, result in made.test.per_label.items():
        f1, precision, recall = map(shown, (result.f1, result.precision, result.recall))
        assert f"{label}{result.support}{f1}{precision}{recall}" in text
    before, after = made.calibration.before.intervals, made.calibration.after.intervals
    assert f"(expected calibration error){shown(before['ece'])}{shown(after['ece'])}0.021" in text
    assert f"Brier score{shown(before['brier'])}{shown(after['brier'])}–" in text
    assert "summed over the labels, from 0 to 2" in text
    assert f"temperature {made.calibration.temperature:.3f}" in text
    assert "moved back to how frequent each label is, by 0.46 of the way" in Page(CASES["deciding"]).text
    assert "moved back" not in text
    assert made.without_leaks is not None
    assert made.without_leaks.macro_f1 is not None
    assert f"Without them{made.without_leaks.rows}{made.without_leaks.macro_f1.value:.3f}" in text
    assert made.reproduction.dataset_sha256 in text
    assert f"Base model's files (SHA-256){made.reproduction.base_model_sha256}" in text
    assert f"commit on the hub{made.reproduction.base_model_commit}" in text
    assert f"Cohen's kappa{made.test.intervals['kappa'].value:.3f}" in text
    assert "learning_rate3e-05" in text


def test_parts_of_the_test_texts_have_the_figures_of_the_whole() -> None:
    made = CASES["deciding"]
    text = Page(made).text
    assert made.without_leaks is not None
    parts: list[tuple[str, Subset | WithoutLeaks]] = [("Without them", made.without_leaks)]
    for name, part in [*parts, *((part.value, part) for part in made.slices)]:
        figures = (part.macro_f1, part.accuracy, part.micro_f1, part.samples_f1, part.hamming_loss)
        assert f"{name}{part.rows}{''.join(shown(figure) for figure in figures if figure)}" in text
        assert all(figures)


def test_a_test_split_that_was_wholly_seen_before_is_not_called_a_new_one() -> None:
    made = make_report()
    made.without_leaks = WithoutLeaks(leaked_rows=made.test.rows, rows=0)
    text = Page(made).text
    assert f"Nothing is left: all {made.test.rows} test texts also occur, or nearly, in training or validation" in text
    assert "Nothing had to be left out" not in text
    assert "Nothing had to be left out" in Page(make_report(without_leaks=None)).text


def test_rows_are_said_to_count_where_their_sender_finds_them() -> None:
    made = make_report()
    assert "Rows count from 0 in test as it was sent; the probabilities are of the given labels" in Page(made).text
    for mistake in made.test.misclassified:
        mistake.split = "train"
    text = Page(made).text
    assert text.count("Rows count from 0 in train as it was sent; the probabilit") == 2


def test_for_deciding_labels_have_a_kappa_and_those_given_an_ece_of_their_own() -> None:
    made = CASES["deciding"]
    text = Page(made).text
    result = next(iter(made.test.per_label.values()))
    assert result.kappa is not None
    assert f"{shown(result.recall)}{shown(result.kappa)}" in text
    before, after = made.calibration.before.given, made.calibration.after.given
    assert before is not None
    assert after is not None
    assert f"ECE of the {after.claims} labels that were given{shown(before.ece)}{shown(after.ece)}0.031" in text
    assert "the mean over the labels, from 0 to 1" in text
    assert "gives each label from 0.5, before thresholds are fitted" in text
    assert "gives each label from 0.5" not in Page(CASES["choosing"]).text
    result.kappa = None
    assert f"{shown(result.recall)}–" in Page(made).text


def test_how_hard_the_set_is_for_what_suspects_labels_is_said() -> None:
    counts = "It contradicts 71 of 298 training texts; 2 could not be judged"
    assert counts in Page(CASES["choosing"]).text
    assert f"None stood out. {counts}" in Page(make_report(suspects=[])).text


def test_a_baseline_that_was_not_measured_is_named() -> None:
    missing = UnmeasuredBaseline(name="tfidf_logistic_regression", reason="out_of_memory")
    made = make_report(unmeasured_baselines=[missing])
    del made.baselines[1]
    text = Page(made).text
    assert "Memory ran out for “Word counts (TF-IDF), logistic regression”, which was not measured." in text
    assert "Not measured, because memory ran out: “Word counts" in text


def test_languages_are_said_to_have_so_many_texts_and_the_quick_classifier_stands_above_the_model() -> None:
    text = Page(CASES["choosing"]).text
    assert "de (31)en (22)fr (13)" in text
    assert text.index("all (quick) (166)") < text.index("all (166)")
    assert "from its fitted thresholds" not in text
    assert "from its fitted thresholds" in Page(CASES["deciding"]).text


def test_every_threshold_stands_beside_its_label() -> None:
    made = CASES["deciding"]
    text = Page(made).text
    for label, threshold in (made.thresholds or {}).items():
        assert f"{label}{threshold:.3f}" in text


def test_the_headline_says_in_one_sentence_what_was_reached() -> None:
    made = CASES["choosing"]
    right = made.test.rows - made.test.misclassified_rows
    text = Page(made, "topics").text
    assert text.startswith("Test report: topics")
    assert f"The model gets {right} of {made.test.rows} test texts right ({100 * made.test.accuracy:.1f} %)." in text
    assert "counting a text as right only when all its labels are" in Page(CASES["deciding"]).text


def test_the_headline_is_honest_about_the_baselines() -> None:
    made = make_report()
    assert "In macro-F1 it beats 2 of 3 simple methods; it is not surely better than “Untuned base" in Page(made).text
    for baseline in made.baselines:
        baseline.beaten = True
    assert "In macro-F1 it is better than all 3 simple methods" in Page(made).text
    assert "More texts are right" not in Page(made).text
    made.baselines[0].accuracy.value = 0.987
    more = "explains. More texts are right by “Always the most frequent answer” (98.7\N{NO-BREAK SPACE}%)."
    assert " ".join(more.split()) in Page(made).text
    worse = made.baselines[1]
    worse.beaten, worse.gain.low, worse.gain.value, worse.gain.high = False, -0.3, -0.2, -0.1
    text = Page(made).text
    assert "it is worse than “Word counts (TF-IDF), logistic regression”." in text
    assert "−0.200 (−0.300 to −0.100)" in text


def test_at_most_fifty_mistakes_are_shown_and_their_number_is_said() -> None:
    made = CASES["77 labels"]
    assert made.test.misclassified_rows > len(made.test.misclassified) > MOST_SHOWN
    read = Page(made)
    assert f"{made.test.misclassified_rows} test texts in all; {MOST_SHOWN} are shown" in read.text
    shown = [cell for cell in read.all("td") if cell.get("class") == "words text"]
    assert len(shown) == MOST_SHOWN + len(made.suspects)


def test_a_mistake_of_deciding_may_be_to_give_no_label_or_several() -> None:
    made = make_report("deciding", ["a", "b", "c"])
    none, several = made.test.misclassified[:2]
    none.predicted_labels, none.true_labels = [], ["a", "b"]
    several.predicted_labels, several.true_labels, several.scores = ["b", "c"], [], {"b": 0.75, "c": 0.625}
    none.scores = {"a": 0.25, "b": 0.125}
    text = Page(made).text
    assert f"{none.text}abnone–0.250, 0.125" in text
    assert f"{several.text}nonebc0.750, 0.625–" in text


def test_earlier_looks_at_the_test_split_are_told() -> None:
    made = make_report()
    assert "Earlier jobs were scored on this test split 2 times." in Page(made).text
    made.selection.test_scored_before = 0
    assert "No earlier job was scored on this test split." in Page(made).text


def test_other_seeds_are_told_with_their_mean_and_spread() -> None:
    made = make_report()
    assert made.repeats is not None
    text = Page(made).text
    assert "The same job under other seeds" in text
    assert "with other training texts, figures would differ more" in text
    for run in made.repeats.runs:
        assert f"{run.seed}{run.macro_f1:.3f}{run.accuracy:.3f}" in text
    assert f"{made.repeats.macro_f1_mean:.3f} ± {made.repeats.macro_f1_sd:.3f}" in text
    assert "other seeds" not in Page(make_report(repeats=None)).text
