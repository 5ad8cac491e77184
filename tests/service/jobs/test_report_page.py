"""The page of a report: its form, what it draws, and what it never does."""

import re

import pytest

from parts.report_pages import CASES, HOSTILE, LABELS_OF_THE_WORLD, Page, every_case
from parts.reports import make_report
from service.jobs.page.measured import confused_pairs
from service.jobs.page.texts import MOST_SHOWN
from service.jobs.report import Report, ReportWarning
from service.store.records import Task

SECTIONS = ["headline", "warnings", "baselines", "labels", "confusion", "calibration", "thresholds", "slices", "leaks",
            "mistakes", "suspects", "selection", "again"]  # fmt: skip


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


@every_case
def test_a_report_is_read_as_it_was_stored(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


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
