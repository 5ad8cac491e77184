"""What is said of doubtful data: each warning where it is due, and none on clean data."""

import random
import time
from typing import Any

import pytest

from service.datasets.dataset import SPLITS, Dataset, Example
from service.datasets.leakage import leaked_rows
from service.datasets.warnings import dataset_warnings

WORDS = ("amber", "bridge", "candle", "dragon", "ember", "forest", "garden", "harbour", "island", "jungle", "kitchen")
Row = tuple[str, str]  # text, and its labels separated by |


def sentences(rows: int, seed: int = 0, words: int = 8) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(rows)]


def clean() -> dict[str, list[Row]]:
    """30, 20 and 20 rows of two labels, with nothing to be said against them."""
    sizes = {"train": 30, "val": 20, "test": 20}
    return {
        split: [(text, "ab"[row % 2]) for row, text in enumerate(sentences(size, seed))]
        for seed, (split, size) in enumerate(sizes.items())
    }


def dataset_of(rows: dict[str, list[Row]]) -> Dataset:
    splits = {
        split: [Example(text, tuple(filter(None, labels.split("|")))) for text, labels in rows.get(split, [])]
        for split in SPLITS
    }
    labels = sorted({label for examples in splits.values() for row in examples for label in row.labels})
    return Dataset("deciding", labels, splits)


def warnings_of(rows: dict[str, list[Row]], **options: int) -> dict[str, Any]:
    """The warnings by code; none has a code twice."""
    found = dataset_warnings(dataset_of(rows), **options)
    assert all(list(warning) == ["code", "message", "rows"] for warning in found)
    assert len({warning["code"] for warning in found}) == len(found)
    return {warning["code"]: warning for warning in found}


def only(rows: dict[str, list[Row]], code: str, **options: int) -> Any:
    found = warnings_of(rows, **options)
    assert list(found) == [code]
    return found[code]


def at(*places: tuple[str, int]) -> list[dict[str, object]]:
    return [{"split": split, "row": row} for split, row in places]


def test_clean_data_gets_no_warning() -> None:
    assert warnings_of(clean()) == {}


# -- leakage ------------------------------------------------------------------------------------------


def test_texts_of_an_earlier_split_are_named_whatever_their_case_and_spacing() -> None:
    rows = clean()
    rows["test"][1] = (rows["train"][4][0].upper().replace(" ", " \n"), "a")
    rows["test"][2] = (rows["val"][6][0], "a")
    warning = only(rows, "leakage")
    assert warning["message"].startswith("2 texts of val and test")
    assert warning["rows"] == at(("test", 1), ("test", 2))


def test_texts_that_nearly_repeat_one_of_an_earlier_split_are_named() -> None:
    rows = clean()
    rows["val"][3] = (f"@user {rows['train'][5][0]}!", "b")
    rows["test"][0] = (rows["train"][6][0].replace("a", "", 1), "a")
    rows["test"][7] = (f"12 {rows['val'][9][0]} https://t.co/x", "b")
    warning = only(rows, "near_leakage")
    assert warning["message"].startswith("3 texts of val and test")
    assert "row 3 of val as row 5 of train" in warning["message"]
    assert warning["rows"] == at(("val", 3), ("test", 0), ("test", 7))


@pytest.mark.parametrize("change", ["{}", "{}!"])
def test_what_repeats_within_a_split_does_not_leak(change: str) -> None:
    rows = clean()
    for split in SPLITS:
        rows[split][2] = (change.format(rows[split][0][0]), rows[split][0][1])
    assert warnings_of(rows) == {}
    assert leaked_rows(dataset_of(rows)) == []


def test_a_warning_names_a_hundred_rows_at_most_and_counts_all() -> None:
    rows = clean()
    rows["test"] = [rows["train"][0]] * 300 + [(rows["train"][1][0] + "!", "b")] * 400
    found = warnings_of(rows)
    assert found["leakage"]["message"].startswith("300 texts")
    assert found["near_leakage"]["message"].startswith("400 texts")
    assert [len(found[code]["rows"]) for code in ("leakage", "near_leakage")] == [100, 100]


def test_a_search_that_is_left_out_is_said_to_be() -> None:
    rows = clean()
    rows["test"][0] = (rows["train"][6][0].replace("a", "", 1), "a")  # not found then
    rows["test"][1] = (rows["train"][7][0], "b")
    rows["test"][3] = (rows["train"][9][0] + "!", "b")  # found all the same
    assert list(warnings_of(rows, most_texts=70)) == ["leakage", "near_leakage"]
    found = warnings_of(rows, most_texts=69)
    assert list(found) == ["leakage", "near_leakage", "near_duplicates_not_searched"]
    assert found["near_leakage"]["rows"] == at(("test", 3))
    assert found["near_duplicates_not_searched"]["rows"] == []


def test_leaked_rows_are_those_of_test() -> None:
    rows = clean()
    rows["val"][0] = rows["train"][0]
    rows["test"][9] = rows["train"][1]
    rows["test"][4] = (rows["val"][5][0] + "?", "a")
    assert leaked_rows(dataset_of(rows)) == [4, 9]


# -- labels -------------------------------------------------------------------------------------------


def test_a_split_that_lacks_labels_gets_a_warning_that_names_them() -> None:
    rows = clean()
    rows["val"] = [(text, "a") for text, _ in rows["val"]]
    assert only(rows, "label_sets_differ") == {
        "code": "label_sets_differ",
        "message": "val has no example of 'b', so results there say nothing about it",
        "rows": [],
    }


def test_rows_of_one_text_with_different_labels_are_named() -> None:
    rows = clean()
    rows["train"][2] = (rows["train"][1][0].title(), "a")  # 'b' there
    rows["test"][0] = (rows["train"][1][0], "b|a")
    rows["val"][0] = (rows["val"][1][0], "b")  # 'b' there too
    found = warnings_of(rows)
    assert list(found) == ["conflicting_labels", "leakage"]
    assert found["conflicting_labels"]["message"].startswith("1 text with more than one set of labels, in 3 rows")
    assert found["conflicting_labels"]["rows"] == at(("train", 1), ("train", 2), ("test", 0))


def test_the_order_of_labels_is_no_conflict() -> None:
    rows = clean()
    rows["train"][0], rows["train"][1] = (rows["train"][0][0], "a|b"), (rows["train"][0][0], "b|a")
    assert warnings_of(rows) == {}


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        ("Fruit", "fruit ", True),
        ("fruit", "fru-it", True),
        ("not ok", "not_ok", True),
        ("cafe\u0301", "café", True),
        ("水果", "水果\u3000", True),
        ("fru\u200bit", "fruit", True),
        ("fruit", "fruits", False),
        ("+1", "-1", False),
        ("1", "-1", False),
        ("C", "C++", False),
        ("👍", "👎", False),
    ],
)
def test_labels_that_are_written_alike_are_named(one: str, other: str, similar: bool) -> None:
    names = {"a": one, "b": other}
    found = warnings_of({split: [(text, names[label]) for text, label in rows] for split, rows in clean().items()})
    assert list(found) == ["similar_label_names"] * similar
    if similar:
        assert repr(one) in found["similar_label_names"]["message"]
        assert repr(other) in found["similar_label_names"]["message"]


@pytest.mark.parametrize(
    ("label", "joined"), [("a;b", True), ("a, b", True), ("b;a;", True), ("a;c", False), ("a;", False), (";", False)]
)
def test_rows_whose_label_is_made_of_others_are_named(label: str, joined: bool) -> None:
    rows = clean()
    for split, number in (("train", 4), ("train", 6), ("val", 3), ("test", 0)):
        rows[split][number] = (rows[split][number][0], label)
    warning = warnings_of(rows).get("joined_labels")
    assert (warning is not None) is joined
    if warning:
        assert warning["message"].startswith(f"1 label made of others of the set, in 4 rows: {label!r}; if several")
        assert warning["rows"] == at(("train", 4), ("train", 6), ("val", 3), ("test", 0))


@pytest.mark.parametrize("label", ["NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "-", "."])
def test_rows_whose_label_is_a_missing_value_are_named(label: str) -> None:
    rows = {split: [(text, label if own == "b" else own) for text, own in rows] for split, rows in clean().items()}
    warning = only(rows, "missing_value_label")
    assert warning["message"].startswith(f"{label!r} in 35 rows is learnt as a label")
    assert "label these rows or remove them" in warning["message"]
    assert warning["rows"][:2] == at(("train", 1), ("train", 3))


@pytest.mark.parametrize("label", ["none", "nano", "no", "--", "Nan Goldin"])
def test_other_labels_are_no_missing_values(label: str) -> None:
    rows = {split: [(text, label if own == "b" else own) for text, own in rows] for split, rows in clean().items()}
    assert warnings_of(rows) == {}


def test_labels_with_few_examples_are_named_rarest_first() -> None:
    rows = clean()
    rows["train"] = [(text, "abcd"[min(row // 8, 3)]) for row, text in enumerate(sentences(28))]
    for split in ("val", "test"):
        rows[split] = [(text, "abcd"[row % 4]) for row, (text, _) in enumerate(rows[split])]
    assert only(rows, "few_examples") == {
        "code": "few_examples",
        "message": "1 label with fewer than 8 examples in train (the rarest, 'd', has 4): 'd'; "
        "add examples, or merge or remove them",
        "rows": [],
    }


# -- lengths ------------------------------------------------------------------------------------------


def test_splits_of_very_unequal_lengths_are_named() -> None:
    rows = clean()
    rows["test"] = [(text, "ab"[row % 2]) for row, text in enumerate(sentences(20, 9, words=40))]
    assert "texts of test are much longer than those of" in only(rows, "unequal_lengths")["message"]
    rows["test"] = rows["test"][:19]  # too few to tell
    assert warnings_of(rows) == {}


def test_labels_of_very_unequal_lengths_are_named() -> None:
    rows = clean()
    rows["train"] = [(text, "ab"[row % 2]) for row, text in enumerate(sentences(60))]
    rows["train"] = [(text if label == "a" else " ".join(text.split()[:2]), label) for text, label in rows["train"]]
    assert "texts labelled 'a' are much longer than those of 'b'" in only(rows, "unequal_lengths")["message"]


def test_texts_that_may_be_cut_are_named_as_an_estimate() -> None:
    rows = clean()
    rows["train"][4] = ("x" * 2000, "a")
    rows["train"][5] = ("y" * 2001, "b")
    warning = only(rows, "truncation")
    assert warning["message"].startswith("1 text (1.4%) of more than 2000 characters, by estimate 512 tokens")
    assert warning["rows"] == at(("train", 5))


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("委员会将再次开会讨论价格" * 67, True),  # 804
        ("委员会将再次开会讨论价格" * 66, False),
        ("電池は三時間で切れます。" * 67, True),
        ("위원회는 다시 모여서 논" * 77, True),  # 1001, of which 770 are wide
        ("коммитет соберется снова" * 83, False),
        ("é" * 2000, False),
        ("é" * 2001, True),
    ],
)
def test_wide_letters_reach_the_length_earlier(text: str, long: bool) -> None:
    rows = clean()
    rows["train"][5] = (text, "b")
    assert ("truncation" in warnings_of(rows)) is long


# -- at size ------------------------------------------------------------------------------------------


def realistic(rows: int) -> list[Row]:
    """Texts of 5 to 60 words, whose words are as unequally frequent as real ones; from 3,000 on, one in 50
    nearly repeats an earlier one."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 10))) for _ in range(5000)]
    frequencies = [1 / rank for rank in range(1, 5001)]
    texts = [" ".join(rng.choices(words, frequencies, k=rng.randint(5, 60))) for _ in range(rows)]
    for row in range(3000, rows, 50):
        texts[row] = texts[row - 2999][:-1]
    return [(text, rng.choice("abcde")) for text in texts]


def test_all_warnings_on_five_thousand_rows_take_seconds() -> None:
    rows = realistic(5000)
    dataset = dataset_of({"train": rows[:3000], "val": rows[3000:4000], "test": rows[4000:]})
    start = time.process_time()
    (warning,) = dataset_warnings(dataset)
    assert warning["message"].startswith("40 texts of val and test found in an earlier split with small changes")
    assert time.process_time() - start < 20  # about three seconds on a free core
