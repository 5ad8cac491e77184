"""The quality benchmark's own arithmetic: samples, scores, tables, going on where it stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.product import hyperparameters_of
from benchmarks.quality import main, missing, refuse_other_conditions
from benchmarks.scores import best_threshold, expected_calibration_error, score
from benchmarks.sets import Rows, draw, read_set, sample
from benchmarks.table import overall
from worker.evaluation.metrics import decide

ROWS = Rows(
    [f"text {number}" for number in range(400)], [["rare" if number % 10 == 0 else "usual"] for number in range(400)]
)


def line(method: str, macro_f1: float, **more: Any) -> dict[str, Any]:
    common = {"set": "a", "task": "choosing", "size": 50, "seed": 0, "ece": 0.1, "accuracy": 0.5, "seconds": 2.0}
    return common | {"method": method, "macro_f1": macro_f1, "test_rows_asked": 100, "threads": 2} | more


def test_a_sample_is_stratified_and_hangs_on_its_seed() -> None:
    drawn = sample(ROWS, 50, seed=1)
    assert len(drawn.texts) == 50
    assert drawn.labels.count(["rare"]) == 5
    assert drawn == sample(ROWS, 50, seed=1)
    assert drawn != sample(ROWS, 50, seed=2)
    assert len(set(drawn.texts)) == 50


def test_splits_of_a_drawn_set_are_disjoint_and_all_seeds_share_the_test_texts(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        columns = {"Text": [f"{split} {text}" for text in ROWS.texts], "Labels": [own[0] for own in ROWS.labels]}
        (tmp_path / f"{split}.json").write_text(json.dumps(columns))
    whole = read_set(tmp_path)
    first, second = draw(whole, 200, 0, test_rows=40), draw(whole, 200, 1, test_rows=40)
    assert [len(rows.texts) for rows in (first.train, first.val, first.test)] == [200, 100, 40]
    assert all(text.startswith("val ") for text in first.val.texts)
    assert first.test == second.test
    assert first.train != second.train
    assert first.labels == ["rare", "usual"]


def test_calibration_error_of_known_probabilities() -> None:
    truth = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    sure = np.tile([0.75, 0.25], (4, 1))
    assert expected_calibration_error(sure, truth, "choosing") == pytest.approx(0)
    boastful = np.tile([1.0, 0.0], (4, 1))
    assert expected_calibration_error(boastful, truth, "choosing") == pytest.approx(0.25)
    assert expected_calibration_error(sure, truth, "deciding") == pytest.approx(0)


def test_one_threshold_is_tuned_for_deciding() -> None:
    probabilities, truth = np.array([[0.3, 0.1], [0.1, 0.35], [0.05, 0.1]]), np.array([[1, 0], [0, 1], [0, 0]])
    predicted = decide(probabilities, "deciding", best_threshold(probabilities, truth))
    assert predicted.tolist() == truth.tolist()
    assert score(probabilities, predicted, truth, "deciding")["micro_f1"] == 1


def test_the_table_compares_with_the_peers_on_the_same_runs() -> None:
    lines = [line("tfidf", 0.4), line("frozen", 0.6), line("setfit", 0.5), line("classiglot", 0.55)]
    lines += [line("classiglot", 0.95, set="b")]  # nothing to compare with there
    row = next(row for row in overall(lines).splitlines() if "classiglot" in row)
    assert row == "| classiglot | 2 | 0.750 | +0.050 | – | -0.050 (a, 50) | 0.100 | 2.0 |"


def test_runs_in_the_file_are_skipped_and_other_conditions_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = [line("tfidf", 0.4)]
    assert missing([("a", 50, 0, "tfidf"), ("a", 50, 0, "frozen")], done) == [("a", 50, 0, "frozen")]
    refuse_other_conditions(done, test_rows=100, threads=2)
    with pytest.raises(SystemExit, match="another file"):
        refuse_other_conditions(done, test_rows=1000, threads=2)
    out = tmp_path / "results.jsonl"
    out.write_text(json.dumps(line("classiglot", 0.4)) + "\n")
    asked = ["--sets", "a", "--sizes", "50", "--seeds", "0", "--methods", "classiglot", "--test-rows", "100"]
    assert main([str(tmp_path), *asked, "--out", str(out)]) == 0  # nothing is started
    assert "## a (choosing)" in capsys.readouterr().out


def test_what_each_variant_of_the_product_asks_for() -> None:
    assert hyperparameters_of("classiglot", 200) == {}
    assert hyperparameters_of("classiglot-asam", 200) == {"optimizer": "asam"}
    longer = hyperparameters_of("classiglot-adamw-equal-time", 200)
    assert longer == {"optimizer": "adamw", "num_epochs": 12}  # the default has 10, and climbs in a quarter of them
