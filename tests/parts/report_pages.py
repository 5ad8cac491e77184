"""Reports of many kinds, and a page of one as a browser reads it."""

from html.parser import HTMLParser
from typing import Any

import pytest

from parts.reports import make_report
from service.jobs.report import Interval, Report
from service.jobs.report_page import render_page

HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;</style>"""
LABELS_OF_THE_WORLD = ("مدح وثناء", "ברכה (שלום)", "客户服务投诉与退款请求以及其他", "जलवायु परिवर्तन", "🙂")
VOID = {"meta", "link", "br"}
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


def shown(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"
