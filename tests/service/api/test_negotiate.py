"""Which form of an answer an `Accept` asks for."""

import pytest

from service.api.negotiate import preferred_by

JSON, TEXT, PAGE = OFFERED = ("application/json", "text/plain", "text/html")
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("text/plain", TEXT),
        ("text/html", PAGE),
        ("application/json;q=0.9, text/html;q=0.8", JSON),
        ("text/html;q=0.1, application/json", JSON),
        ("text/plain;q=0, application/json", JSON),
        (CHROMIUM, PAGE),
    ],
)
def test_the_highest_quality_is_preferred(accept: str, chosen: str) -> None:
    assert preferred_by(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/json, text/plain, */*", JSON),  # axios, Angular
        ("text/plain, application/json", TEXT),
        ("*/*, text/html", PAGE),
        ("text/*, application/json", JSON),
    ],
)
def test_of_equals_the_most_exact_is_preferred_then_the_clients_first(accept: str, chosen: str) -> None:
    assert preferred_by(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["", "*/*", "image/png", "application/json;q=0", "text/plain;q=0, */*;q=0.1", ",;,"])
def test_without_a_wish_that_can_be_met_it_is_the_first_that_is_offered(accept: str) -> None:
    assert preferred_by(accept, OFFERED) == JSON


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*, text/html;q=0.5, application/json;q=0.4", TEXT),
        ("text/*, text/plain;q=0, application/json;q=0.9", PAGE),
        ("application/json;q=0, */*", TEXT),
    ],
)
def test_the_most_exact_entry_says_a_types_quality(accept: str, chosen: str) -> None:
    assert preferred_by(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("Text/HTML", PAGE),
        ("text/plain; charset=utf-8", TEXT),
        ("text/html ; Q=0.2 , text/plain ; q=0.30", TEXT),
        ("text/html;q=high, text/plain;q=0.1", TEXT),
        ("text/html;q=nan, text/html;q=2, text/html;q=-1, text/plain;q=1.000", TEXT),
    ],
)
def test_it_is_read_as_it_may_be_written(accept: str, chosen: str) -> None:
    assert preferred_by(accept, OFFERED) == chosen
