"""What was measured otherwise: on some of the rows (by column, by language, without leaks), or under other seeds."""

from service.datasets.complaints import counted
from service.jobs.page.label_plots import DARK_FROM
from service.jobs.page.layout import FIGURES, inline, number, paragraph, quiet, section, table, with_interval
from service.jobs.page.markup import Markup, h
from service.jobs.report import Interval, Repeats, Report, Subset, Transfer, WithoutLeaks


def slices(report: Report) -> Markup:
    """Subsets of the test texts by their extra columns, then what each language teaches about the others."""
    if report.slices:
        columns = dict.fromkeys(part.column for part in report.slices)
        groups = [_column_table(report, name) for name in columns]
    else:
        groups = [paragraph("None: there is no extra column in the data with enough test texts for each value.")]
    return section(
        "slices",
        "Parts of the test texts",
        groups,
        report.transfer and _transfer(report.transfer, report.task == "deciding"),
    )


def _column_table(report: Report, column: str) -> Markup:
    own = [part for part in report.slices if part.column == column]
    caption = (
        "Texts with the same value, measured on their own. Where intervals overlap much, do not read a difference."
    )
    table_of_values = table(caption, _heads("Value", report), [_row(part.value, part, report) for part in own])
    return h("div", h("h3", "By ", inline(column)), table_of_values)


def _heads(first: str, report: Report) -> list[str]:
    return [first, "Test texts", *(f"{FIGURES[name]} (95\N{NO-BREAK SPACE}%)" for name in _figures(report))]


def _row(name: str, part: Subset | WithoutLeaks, report: Report) -> list[str]:
    return [name, str(part.rows), *(_narrow(getattr(part, figure)) for figure in _figures(report))]


def _narrow(figure: Interval) -> Markup:
    """With its interval below it where five figures side by side would be wider than the page."""
    return h("td", with_interval(figure), class_="narrow")


def _figures(report: Report) -> list[str]:
    """Of choosing, micro-F1 would be accuracy once more."""
    deciding = ["micro_f1", "samples_f1", "hamming_loss"] if report.task == "deciding" else []
    return ["macro_f1", "accuracy", *deciding]


def _transfer(transfer: Transfer, deciding: bool) -> Markup:
    trained = _with_texts(transfer.trained_in, transfer.trained_on)
    rows = [[name, *map(_heated, figures)] for name, figures in zip(trained, transfer.macro_f1, strict=True)]
    return h(
        "div",
        h("h3", "Trained in × tested in, by ", inline(transfer.column)),
        quiet(
            "Each row but the last: a quick classifier on the untuned base model, trained on that row's texts alone "
            "and tested on each column's. The last row is the published model, another method, trained on all: what "
            "other languages bring, the row above it shows. A dash: too few texts."
        ),
        quiet("The quick classifier gives a label from 0.5, the published model from its fitted thresholds.")
        if deciding
        else None,
        table(
            "Macro-F1; a stronger colour is better. In brackets: texts to train, or to test on.",
            ["Trained in ↓, tested in →", *_with_texts(transfer.tested_in, transfer.tested_on)],
            rows,
            last="last",
        ),
    )


def _with_texts(names: list[str], texts: list[int]) -> list[str]:
    """Reports of earlier versions do not count them."""
    return [f"{name} ({count})" for name, count in zip(names, texts, strict=True)] if texts else names


def _heated(value: float | None) -> Markup:
    if value is None:
        return h("td", "–")
    dark = " dark" if value >= DARK_FROM else ""
    return h("td", number(value), class_=f"heated{dark}", style=f"--share:{100 * value:.0f}")


def leaks(report: Report) -> Markup:
    title, found = "Without texts that were seen before", report.without_leaks
    if found is None:
        words = (
            "No test text was found, even nearly, among the training or validation texts. Nothing had to be left out."
        )
        return section("leaks", title, paragraph(words))
    test = report.test
    if not found.rows:
        words = (
            f"Nothing is left: {_all_of(test.rows)}, or nearly, in training or validation. The figures of this report "
            "say how well the model remembers, not what it makes of new texts."
        )
        return section("leaks", title, paragraph(words))
    seen = (
        f"{counted(found.leaked_rows, 'test text')} of {test.rows} also occur{'s' if found.leaked_rows == 1 else ''}, "
        "or nearly, in training or validation."
    )
    of_all = test.intervals | {"macro_f1": found.macro_f1_with or test.intervals["macro_f1"]}
    whole = ["All test texts", str(test.rows), *(_narrow(of_all[name]) for name in _figures(report))]
    rows = [whole, _row("Without them", found, report)]
    advice = (
        "If the second row is clearly lower, trust the second row. Macro-F1 is over the labels that are left in it."
    )
    return section("leaks", title, paragraph(seen), table(advice, _heads("Measured on", report), rows))


def _all_of(rows: int) -> str:
    return "the only test text also occurs" if rows == 1 else f"all {rows} test texts also occur"


def seeds(repeats: Repeats) -> Markup:
    rows = [[str(run.seed), number(run.macro_f1), number(run.accuracy), number(run.val_loss)] for run in repeats.runs]
    mean = f"{number(repeats.macro_f1_mean)} ± {number(repeats.macro_f1_sd)}"
    rows.append(
        ["Mean ± standard deviation", mean, f"{number(repeats.accuracy_mean)} ± {number(repeats.accuracy_sd)}", ""]
    )
    return h(
        "div",
        h("h3", "The same job under other seeds"),
        table(
            "A seed decides the order of the texts and what is dropped out: what differs here is luck of that kind "
            "alone. All runs saw the same texts; with other training texts, figures would differ more. The first is "
            "the published model; the others were only measured.",
            ["Seed", "Macro-F1", "Accuracy", "Validation loss"],
            rows,
            last="last",
        ),
    )
