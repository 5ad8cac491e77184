"""What is read as JSON, and what is refused before it can hurt."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets import json_text
from service.datasets.json_text import count_values, parse_json
from service.errors import TooLarge, Unreadable


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '[{"b": {"a": 1, "a": 2}}]',
        "NaN",
        "[-Infinity]",
        "1e999",
        "[-1e999]",
        "9" * 90_000,
        "[" * 40_000 + "]" * 40_000,
        '{"a":' * 40_000 + "1" + "}" * 40_000,
        "",
        "{",
        "[1] [2]",
        "'a'",
        "\ufeff\ufeff[]",
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode() or "empty",
)
def test_what_is_not_standard_json_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match=r"^it is "):
        parse_json(text.encode(), "it")


def test_bad_utf_8_is_unreadable_and_its_place_is_named() -> None:
    with pytest.raises(Unreadable, match=r"byte 1\)"):
        parse_json(b'"\xff"')


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_every_standard_value_is_read_as_python_reads_it(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def count(value: object) -> int:
    """Values and keys; what is empty twice."""
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if parts is None else 1 + (sum(map(count, parts)) if parts else 1)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(alphabet='a,:[{}]\\"é'),
        lambda own: st.lists(own, max_size=4) | st.dictionaries(st.text(alphabet='b,"\\', max_size=3), own, max_size=4),
        max_leaves=20,
    ),
    st.integers(1, 40),
)
def test_values_are_counted_without_parsing(value: object, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_CHUNK", chunk)
        assert count_values(json.dumps(value, ensure_ascii=False).encode()) == count(value)


def test_values_without_end_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MOST_VALUES", 1000)
    with pytest.raises(TooLarge, match=r"more than 1,000 values; send its rows as lines of JSON \(.jsonl\) or CSV"):
        parse_json(b"[" + b"[]," * 500 + b"1]")
    assert len(parse_json(json.dumps({"Text": ["a, b" * 300] * 490, "Labels": ["[,"] * 490}).encode())["Text"]) == 490
