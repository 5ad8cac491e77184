import re
from html.parser import HTMLParser
from typing import Any

import pytest

from parts.reports import make_report
from service.jobs.page.measured import confused_pairs
from service.jobs.page.texts import MOST_SHOWN
from service.jobs.report import Interval, Report, ReportWarning, Subset, UnmeasuredBaseline, WithoutLeaks
from service.jobs.report_page import render_page
from service.store.records import Task

HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;</style>"""
LABELS_OF_THE_WORLD = ("مدح وثناء", "ברכה (שלום)", "客户服务投诉与退款请求以及其他", "जलवायु परिवर्तन", "🙂")
VOID = {"meta", "link", "br"}
SECTIONS = ["headline", "warnings", "baselines", "labels", "confusion", "calibration", "thresholds", "slices", "leaks",
            "mistakes", "suspects", "selection", "again"]  # fmt: skip
NOTHING: dict[str, Any] = {
    "warnings": [],
    "baselines": [],
    "slices": [],
    "suspects": [],
    "suspect_counts": None,
    "transfer": None,
    "repeats": None,
    "without_leaks": None,
}

CASES = {
    "choosing": make_report(),
    "deciding": make_report("deciding", [f"topic {number}" for number in range(12)]),
    "two labels": make_report("choosing", ["yes", "no"]),
    "77 labels": make_report("choosing", [f"intent_{number}" for number in range(77)], rows_of_a_label=20),
    "deciding 77 labels": make_report("deciding", [f"topic {number}" for number in range(77)]),
    "nothing extra": make_report(**NOTHING),
    "deciding, nothing extra": make_report("deciding", thresholds=None, **NOTHING),
    "one epoch": make_report(epochs=1),
    "a thousand epochs": make_report(epochs=1000),
    "one row a label": make_report(rows_of_a_label=1),
    "hostile": make_report("choosing", ["joy", HOSTILE], text=HOSTILE),
    "hostile, deciding": make_report("deciding", ["joy", HOSTILE], text=HOSTILE),
    "labels of the world": make_report("choosing", LABELS_OF_THE_WORLD, text="هذا نص عربي (طويل)."),
    "one endless label": make_report("choosing", ["a" * 500, "b"], text="x" * 500),
}
every_case = pytest.mark.parametrize("report", CASES.values(), ids=CASES)


class Page(HTMLParser):
    """A page as a browser reads it: every element with its attributes, and all text. Fails on unbalanced tags."""

    def __init__(self, report: Report, job_name: str = "") -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.html = render_page(report, job_name=job_name)
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@every_case
def test_the_page_is_well_formed_and_has_every_section_in_order(report: Report) -> None:
    read = Page(report, "topics")
    expected = [name for name in SECTIONS if name != "thresholds" or report.task == "deciding"]
    assert [section["id"] for section in read.all("section")] == expected
    assert {link["href"] for link in read.all("a")} <= {f"#{name}" for name in expected}
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@every_case
def test_the_page_runs_nothing_and_loads_nothing(report: Report) -> None:
    read = Page(report, HOSTILE)
    tags = {tag for tag, _ in read.elements}
    assert {"script", "img", "iframe", "object", "embed", "form", "base", "use", "image"}.isdisjoint(tags)
    for _, attributes in read.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "xlink:href") for name in attributes)
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))
    style = read.html.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


@every_case
def test_the_page_can_be_read_without_seeing_it(report: Report) -> None:
    read = Page(report)
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in read.all("svg"))
    assert len(read.all("figure")) == len(read.all("figcaption")) == len(read.all("svg"))
    assert all(heading["scope"] in ("col", "row") for heading in read.all("th"))
    assert all(table["aria-label"] for table in read.all("table"))
    scrolled = [part for part in read.all("div") if part.get("class") == "scroll"]
    assert len(scrolled) == len(read.all("table")) + len(read.all("figure"))
    assert all(part["tabindex"] == "0" for part in scrolled)  # by the keyboard, too


def test_five_figures_side_by_side_may_stand_above_their_intervals() -> None:
    """Else the last one, Hamming loss, would lie beyond the edge of the page."""
    read = Page(CASES["deciding"])
    (made, figures) = CASES["deciding"], 5
    assert sum(cell.get("class") == "narrow" for cell in read.all("td")) == figures * (len(made.slices) + 2)
    assert ".narrow { white-space: normal; }" in read.html


@every_case
def test_no_plot_holds_a_coordinate_that_is_no_number(report: Report) -> None:
    assert re.search(r'="[^"]*\b(nan|inf)\b', Page(report).html) is None


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_what_comes_from_outside_stands_there_as_it_was_written(task: Task) -> None:
    warning = ReportWarning(code=HOSTILE, message=HOSTILE)
    made = make_report(task, ["joy", HOSTILE], text=HOSTILE, warnings=[warning])
    made.slices[0].column = made.slices[0].value = HOSTILE
    assert made.transfer is not None
    made.transfer.column = made.transfer.tested_in[0] = made.transfer.trained_in[0] = HOSTILE
    made.selection.chosen_by = made.reproduction.device = made.reproduction.base_model = HOSTILE
    made.reproduction.hyperparameters[HOSTILE] = made.reproduction.versions[HOSTILE] = HOSTILE
    made.job_id = made.model_id = made.dataset_id = HOSTILE
    read = Page(made, HOSTILE)
    assert "<script" not in read.html
    assert "<img" not in read.html
    assert read.text.count(HOSTILE) > 20 + 2 * min(MOST_SHOWN, made.test.misclassified_rows)


def shown(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


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


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_report_of_an_earlier_version_is_read_and_drawn(task: Task) -> None:
    stored = make_report(task).model_dump()
    for mistake in stored["test"]["misclassified"]:
        del mistake["split"]
    for label in stored["test"]["per_label"].values():
        del label["kappa"]
    for error in (stored["calibration"]["before"], stored["calibration"]["after"]):
        del error["ece_if_calibrated"], error["given"]
    del stored["test"]["kappa"], stored["suspect_counts"], stored["unmeasured_baselines"]
    del stored["transfer"]["trained_on"], stored["transfer"]["tested_on"]
    del stored["reproduction"]["base_model_sha256"], stored["reproduction"]["base_model_commit"]
    stored["test"]["intervals"].pop("kappa", None)
    read = Report.model_validate(stored)
    assert {mistake.split for mistake in read.test.misclassified} == {"test"}
    text = Page(read).text
    assert "kappa" not in text
    assert "It contradicts" not in text
    assert "SHA-256" in text
    assert text.count("SHA-256") == 1


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


@every_case
def test_a_report_is_read_as_it_was_stored(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_every_threshold_stands_beside_its_label() -> None:
    made = CASES["deciding"]
    text = Page(made).text
    for label, threshold in (made.thresholds or {}).items():
        assert f"{label}{threshold:.3f}" in text


def test_every_cell_of_the_confusion_matrix_is_drawn() -> None:
    made = CASES["choosing"]
    assert made.test.confusion_matrix is not None
    names, text = made.labels, Page(made).text
    for truth, row in enumerate(made.test.confusion_matrix.counts):
        for predicted, count in enumerate(row):
            assert f"{names[truth]} → {names[predicted]}: {count}" in text


def test_too_many_labels_for_a_heat_map_become_a_table_of_the_most_confused() -> None:
    made = CASES["77 labels"]
    assert made.test.confusion_matrix is not None
    pairs = confused_pairs(made.test.confusion_matrix)
    assert [count for count, _, _ in pairs] == sorted((count for count, _, _ in pairs), reverse=True)
    assert sum(count for count, _, _ in pairs) == made.test.misclassified_rows
    count, truth, predicted = pairs[0]
    text = Page(made).text
    assert f"{truth}{predicted}{count}" in text
    assert "→ intent_0:" not in text


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


def test_the_kept_epoch_is_marked_in_both_curves() -> None:
    made = CASES["choosing"]
    read = Page(made)
    assert f"epoch {made.validation.best['epoch']} of {len(made.validation.history)} was kept" in read.text
    assert read.html.count(">kept</text>") == 2


def test_an_epoch_without_a_finite_loss_leaves_a_gap() -> None:
    made = make_report()
    made.validation.history[0] |= {"train_loss": float("nan"), "val_loss": None}
    read = Page(made)
    assert "epoch 1: loss in training" not in read.text
    assert "epoch 2: loss in training" in read.text


def test_labels_and_texts_run_in_their_own_direction_and_keep_their_full_names() -> None:
    made = CASES["labels of the world"]
    read = Page(made)
    for label in LABELS_OF_THE_WORLD:
        assert f"<title>{label}</title>" in read.html
        assert f'dir="auto">{label}</th>' in read.html
    assert all(cell["dir"] == "auto" for cell in read.all("td") if cell.get("class") == "words text")
    assert ">客户服务投诉与退款请求以及其他</text>" not in read.html


def test_labels_are_drawn_from_the_most_to_the_least_frequent() -> None:
    made = make_report("choosing", ["often", "seldom"])
    made.test.per_label = dict(reversed(made.test.per_label.items()))
    text = Page(made).text
    assert text.index("often") < text.index("seldom")


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
