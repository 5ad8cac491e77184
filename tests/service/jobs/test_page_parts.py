"""What the page of a report is made of: markup, axes, bars."""

import ast
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from parts.reports import make_report
from service.jobs import page
from service.jobs.page.drawing import shorten, ticks
from service.jobs.page.label_plots import label_bars
from service.jobs.page.layout import table
from service.jobs.page.markup import h


def test_plain_text_is_escaped_even_after_it_was_joined_with_markup() -> None:
    bold = h("b", "a & b")
    assert h("p", bold, "<i>") == "<p><b>a &amp; b</b>&lt;i&gt;</p>"
    assert h("p", bold + "<i>") == "<p>&lt;b&gt;a &amp;amp; b&lt;/b&gt;&lt;i&gt;</p>"
    assert h("p", title='"<') == '<p title="&quot;&lt;"></p>'


def test_a_label_that_looks_like_a_cell_is_no_cell() -> None:
    assert "<td onclick" not in table("", ["a"], [["<td onclick=x>"]])


def test_only_one_module_turns_text_into_markup() -> None:
    folder = Path(page.__path__[0])
    for path in (*folder.glob("*.py"), folder.parent / "report_page.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        makes = any(isinstance(call.func, ast.Name) and call.func.id == "Markup" for call in calls)
        assert makes == (path.name == "markup.py")


@given(st.text(max_size=60), st.integers(1, 30))
def test_a_shortened_label_is_its_beginning(label: str, width: int) -> None:
    got, whole = shorten(label, width), " ".join(label.split())
    assert got == whole or (got.endswith("…") and whole.startswith(got[:-1]))
    assert len(shorten("语" * 40, width)) == width // 2 + 1


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e4))
def test_ticks_are_few_even_and_within(low: float, length: float) -> None:
    got = ticks(low, low + length)
    assert 1 <= len(got) <= 7
    slack = length * 1e-6 + 1e-6
    assert all(low - slack <= tick <= low + length + slack for tick in got)


def test_bars_end_where_their_figures_are() -> None:
    result = make_report().test.per_label["joy"]
    result.f1.value, result.precision.value, result.recall.value = 0.5, 0.25, 1.0
    widths = re.findall(r'class="\w+ bar"[^>]* width="([\d.]+)"', label_bars([("joy", result)]))
    assert widths == ["80", "40", "160"]
