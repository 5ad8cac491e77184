"""An upload is stored whole and read back as it was."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parts.shelter import SETTINGS, Shelter, fruit, submission
from parts.toy_text import choosing, columns, deciding
from service.datasets.cutting import Cut
from service.datasets.dataset import SPLITS, Dataset, Example
from service.datasets.files import read_dataset, write_dataset
from service.datasets.ingest import Submission, Upload, build_dataset
from service.store.records import Task

# -- stored and read back -----------------------------------------------------------------------------


@pytest.mark.parametrize("made", [choosing(30, language="other"), deciding(40)], ids=["choosing", "deciding"])
def test_what_is_stored_is_read_back_equal(shelter: Shelter, made: Any) -> None:
    sent = {**columns(*made), "Source": [f"line {row}\n\u2028" for row in range(len(made[0]))]}
    record = shelter.store(submission(train=sent))
    dataset = shelter.read(record)
    assert dataset == build_dataset(submission(train=sent), SETTINGS)
    assert record.splits == dataset.summary()
    kept = sorted((row.text, row.labels, row.extra["Source"]) for rows in dataset.splits.values() for row in rows)
    labels = [tuple(label) if isinstance(label, list) else (label,) for label in sent["Labels"]]
    assert kept == sorted(zip(sent["Text"], labels, sent["Source"], strict=True))


SAFE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ROW = st.builds(
    Example,
    SAFE,
    st.lists(SAFE, max_size=3).map(tuple),
    st.dictionaries(SAFE, SAFE | st.integers() | st.none()),
    st.none() | st.integers(0),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example overwrites the files
@given(rows=st.lists(ROW, max_size=5))
def test_files_hold_any_text(tmp_path: Path, rows: list[Example]) -> None:
    dataset = Dataset("deciding", ["a"], {"train": rows, "val": rows[:1], "test": []})
    write_dataset(dataset, tmp_path)
    assert read_dataset(tmp_path, "deciding", ["a"]) == dataset


def test_labels_are_sorted_by_code_point(shelter: Shelter) -> None:
    train = {"Text": [f"text {row}" for row in range(20)], "Labels": ["b", "ä", "B", "a"] * 5}
    assert shelter.store(submission(train=train)).labels == ["B", "a", "b", "ä"]


def test_splits_that_were_sent_are_kept_as_they_are(shelter: Shelter) -> None:
    sent = {name: fruit(9) for name in SPLITS}
    dataset = shelter.read(shelter.store(submission(**sent)))
    for name in SPLITS:
        assert [row.text for row in dataset.splits[name]] == sent[name]["Text"]


def test_only_the_missing_split_is_cut(shelter: Shelter) -> None:
    record = shelter.store(submission(Cut(val=0.3), train=fruit(30), test=fruit(6)))
    assert {name: split["rows"] for name, split in record.splits.items()} == {"train": 21, "val": 9, "test": 6}


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_rare_labels_stay_in_train(shelter: Shelter, share: float) -> None:
    train = {"Text": [f"text {row}" for row in range(22)], "Labels": ["a", "b"] * 10 + ["rare", "rarer"]}
    record = shelter.store(submission(Cut(val=share), train=train))
    assert (record.splits["train"]["labels"]["rare"], record.splits["train"]["labels"]["rarer"]) == (1, 1)
    codes = [warning["code"] for warning in record.warnings]
    assert codes == ["label_sets_differ", "label_sets_differ", "few_examples"]


@pytest.mark.parametrize("made", [choosing(30), deciding(60)], ids=["choosing", "deciding"])
@pytest.mark.parametrize("seed", range(3))
def test_equal_texts_are_never_parted_by_the_cut(shelter: Shelter, made: Any, seed: int) -> None:
    texts, labels = made
    again = [text.upper().replace(" ", "  ") for text in texts]
    record = shelter.store(submission(Cut(seed=seed), train=columns([*texts, *again], [*labels, *labels])))
    assert "leakage" not in [warning["code"] for warning in record.warnings]
    rows = {name: split["rows"] / len(texts) / 2 for name, split in record.splits.items()}
    assert rows == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.05)
    for label in record.labels:
        held = {name: split["labels"][label] for name, split in record.splits.items()}
        assert held["val"] == pytest.approx(0.2 * sum(held.values()), abs=4)


def test_few_texts_many_times_over_are_cut_all_the_same_and_the_leaks_told(shelter: Shelter) -> None:
    """Two groups of a hundred rows cannot be had in fifths."""
    record = shelter.store(submission(train=columns(["good film", "bad film"] * 100, ["a", "b"] * 100)))
    assert {name: split["rows"] for name, split in record.splits.items()} == {"train": 120, "val": 40, "test": 40}
    assert record.splits["test"]["labels"] == {"a": 20, "b": 20}
    assert "leakage" in [warning["code"] for warning in record.warnings]


def test_warnings_name_rows_of_train_as_it_was_sent(shelter: Shelter) -> None:
    texts, labels = choosing(30)
    texts[7], texts[21] = "word " * 500, "other " * 500
    texts[12], labels[12], labels[3] = texts[3], "fruit", "weather"
    sent = {"train": columns(texts, labels), "test": columns(texts[:6], labels[:6])}
    warnings = shelter.store(submission(Cut(seed=1), **sent)).warnings
    rows = {warning["code"]: [(row["split"], row["row"]) for row in warning["rows"]] for warning in warnings}
    assert sorted(rows["truncation"]) == [("train", 7), ("train", 21)]
    assert sorted(row for row in rows["conflicting_labels"] if row[0] == "train") == [("train", 3), ("train", 12)]
    assert rows["leakage"] == [("test", row) for row in range(6)]


def test_near_duplicates_are_not_parted_by_the_cut(shelter: Shelter) -> None:
    texts, labels = choosing(60)
    again = [text.replace("a", "", 1) + "!" for text in texts]
    for seed in range(3):
        record = shelter.store(submission(Cut(seed=seed), train=columns([*texts, *again], [*labels, *labels])))
        assert [w["message"] for w in record.warnings if w["code"] == "near_leakage"] == []
        assert {name: split["rows"] for name, split in record.splits.items()} == pytest.approx(
            {"train": 72, "val": 24, "test": 24}, abs=4
        )


def test_near_duplicates_that_the_cut_must_part_are_named_as_sent(shelter: Shelter) -> None:
    """All rows of a label follow one template."""
    texts = [f"a {'good' if row % 2 else 'bad'} film, seen {row} times" for row in range(200)]
    record = shelter.store(submission(train=columns(texts, ["a", "b"] * 100)))
    assert {name: split["rows"] for name, split in record.splits.items()} == {"train": 120, "val": 40, "test": 40}
    (warning,) = (w for w in record.warnings if w["code"] == "near_leakage")
    assert {row["split"] for row in warning["rows"]} == {"train"}
    (later, earlier) = re.findall(r"row (\d+) of train", warning["message"])
    assert (int(later) - int(earlier)) % 2 == 0


def test_files_of_before_are_read_without_the_rows_that_were_sent(shelter: Shelter) -> None:
    record = shelter.store(submission(train=fruit(30)))
    folder = shelter.artifacts.path("datasets", record.id)
    for name in SPLITS:
        path = folder / f"{name}.jsonl"
        path.write_text(re.sub(r', "sent_row": \d+', "", path.read_text()))
    dataset = read_dataset(folder, record.task, record.labels)
    assert {row.sent_row for rows in dataset.splits.values() for row in rows} == {None}
    assert dataset.place("test", 1) == ("test", 1)


@pytest.mark.parametrize(
    ("cells", "task", "rows"),
    [
        ({17: "", 4: "a|b"}, None, [4, 17]),
        ({17: "a|b", 3: "b | a"}, None, [3, 17]),
        ({17: "", 3: "", 4: "a|b"}, None, None),  # a tenth: this is meant so
        ({17: ""}, "deciding", None),
        ({}, None, None),
    ],
)
def test_few_cells_that_decide_the_task_are_named(
    shelter: Shelter, cells: dict[int, str], task: Task | None, rows: list[int] | None
) -> None:
    labels = [cells.get(row, "ab"[row % 2]) for row in range(30)]
    table = "\n".join(["text,label", *(f"text {row},{label}" for row, label in enumerate(labels))]).encode()
    record = shelter.store(Submission("x", task, None, {"train": Upload("a.csv", table)}))
    assert record.task == ("deciding" if cells else "choosing")
    found = [warning for warning in record.warnings if warning["code"] == "task_inferred"]
    assert [warning["rows"] for warning in found] == (
        [] if rows is None else [[{"split": "train", "row": row} for row in rows]]
    )
    assert all("send task=choosing, or fill the cells" in warning["message"] for warning in found)
    assert all(("unlabelled=skip" in warning["message"]) is ("" in cells.values()) for warning in found)


@pytest.mark.parametrize("empty", [1, 3, 15])
def test_rows_without_a_label_are_named_where_they_alone_made_the_task_deciding(shelter: Shelter, empty: int) -> None:
    """A table that is labelled only in part looks the same as one where no label applies to the rest."""
    cells = ["" if row < empty else "ab"[row % 2] for row in range(30)]
    table = "\n".join(["text,label", *(f"text {row},{label}" for row, label in enumerate(cells)), "more,a|"]).encode()
    sent: dict[str, object] = {"train": Upload("a.csv", table)}
    (warning,) = (w for w in shelter.store(Submission("x", None, None, sent)).warnings if w["code"] == "task_inferred")
    assert warning["message"].startswith(f"{empty} label cell{'s' * (empty > 1)} of 31 without a label")
    assert "send unlabelled=skip to leave them out; if no label is meant, send task=deciding" in warning["message"]
    assert warning["rows"] == [{"split": "train", "row": row} for row in range(empty)]
    said = shelter.store(Submission("x", "deciding", None, sent))
    assert "task_inferred" not in [warning["code"] for warning in said.warnings]


def test_another_seed_cuts_otherwise(shelter: Shelter) -> None:
    first, again, other = (shelter.store(submission(Cut(seed=seed), train=fruit(30))) for seed in (1, 1, 2))
    assert shelter.read(first) == shelter.read(again)
    assert first.val_sha256 == again.val_sha256 != other.val_sha256


# -- sums ---------------------------------------------------------------------------------------------


def test_the_sum_is_of_the_content_alone(shelter: Shelter) -> None:
    texts, labels = choosing(30)
    lines = "\n".join(
        json.dumps({"label": label, "text": text}) for text, label in zip(texts, labels, strict=True)
    ).encode()
    first = shelter.store(submission(train=columns(texts, labels)))
    second = shelter.store(Submission("other", "choosing", "french", {"train": Upload("a.jsonl", lines)}))
    assert (first.sha256, first.val_sha256) == (second.sha256, second.val_sha256)
    assert first.id < second.id


def test_the_sum_changes_with_any_content(tmp_path: Path) -> None:
    base = {name: {"Text": ["x", "y"], "Labels": ["a", "b"]} for name in SPLITS}
    lists = {name: {"Text": ["x", "y"], "Labels": [["a"], ["b"]]} for name in SPLITS}
    variants: list[dict[str, object]] = [
        {**base},
        {**base, "train": {"Text": ["x", "z"], "Labels": ["a", "b"]}},
        {**base, "train": {"Text": ["x", "y"], "Labels": ["b", "a"]}},
        {**base, "test": {"Text": ["y", "x"], "Labels": ["b", "a"]}},
        {**base, "val": {"Text": ["x", "y"], "Labels": ["a", "b"], "n": [1, 2]}},
        {**base, "val": {"Text": ["x", "y"], "Labels": ["a", "b"], "n": ["1", "2"]}},
        {**lists},
    ]
    datasets = [build_dataset(submission(**splits), SETTINGS) for splits in variants]
    assert len({tuple(write_dataset(dataset, tmp_path).values()) for dataset in datasets}) == len(variants)
