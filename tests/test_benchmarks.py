"""The benchmarks' own arithmetic: samples, scores, tables, percentiles, ratios, going on where they stopped."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.beside import slowdown
from benchmarks.percentiles import percentile
from benchmarks.product import hyperparameters_of
from benchmarks.quality import main, missing, refuse_other_conditions
from benchmarks.runs import Conditions
from benchmarks.scale import table_line
from benchmarks.scores import best_threshold, expected_calibration_error, score
from benchmarks.sets import Rows, draw, read_set, sample
from benchmarks.table import overall
from benchmarks.training import ratios, validation_losses
from benchmarks.training_request import Cost, Outcome, Texts
from benchmarks.watched import outside_engine
from worker.evaluation.metrics import decide

ROWS = Rows(
    [f"text {number}" for number in range(400)], [["rare" if number % 10 == 0 else "usual"] for number in range(400)]
)


HERE = {"device": "cpu", "in_process": False}


def line(method: str, macro_f1: float, **more: Any) -> dict[str, Any]:
    common = {"set": "a", "task": "choosing", "size": 50, "seed": 0, "ece": 0.1, "accuracy": 0.5, "seconds": 2.0}
    return common | {"method": method, "macro_f1": macro_f1, "test_rows_asked": 100, "threads": 2} | HERE | more


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
    refuse_other_conditions(done, Conditions(100, 2, "cpu", in_process=False))
    for other in (
        Conditions(1000, 2, "cpu", in_process=False),
        Conditions(100, 1, "cpu", in_process=False),
        Conditions(100, 2, "cuda", in_process=False),
        Conditions(100, 2, "cpu", in_process=True),
    ):
        with pytest.raises(SystemExit, match="another file"):
            refuse_other_conditions(done, other)
    out = tmp_path / "results.jsonl"
    out.write_text(json.dumps(line("classiglot", 0.4)) + "\n")
    asked = ["--sets", "a", "--sizes", "50", "--seeds", "0", "--methods", "classiglot", "--test-rows", "100"]
    assert main([str(tmp_path), *asked, "--out", str(out)]) == 0  # nothing is started
    assert "## a (choosing)" in capsys.readouterr().out


def test_what_each_variant_of_the_product_asks_for() -> None:
    assert hyperparameters_of("classiglot", 200) == {}
    assert hyperparameters_of("classiglot-asam", 200) == {"optimizer": "asam", "sam_start": 0}
    shorter = hyperparameters_of("classiglot-sam-equal-time", 200)
    assert shorter == {"optimizer": "sam", "sam_start": 0, "num_epochs": 5}  # the default has 10


def test_percentiles_by_nearest_rank() -> None:
    times = [float(number) for number in range(1, 21)]
    assert percentile(times, 0.95) == 19.0
    assert percentile(times[::-1], 0.5) == 10.0
    assert percentile([3.0], 0.95) == 3.0
    with pytest.raises(ValueError, match="no times"):
        percentile([], 0.5)


def outcome(train: float, peak: int, load: float = 10.0, logits: Sequence[Sequence[float]] = ((0.0, 0.0),)) -> Outcome:
    """Of a training whose threads were busy half the time."""
    return Outcome(Cost(load, load / 2, peak // 2), Cost(train, train / 2, peak), 10, [list(own) for own in logits])


def test_a_peer_that_takes_six_times_as_long_and_four_times_the_memory() -> None:
    told = ratios("peer", outcome(train=10, peak=1000), outcome(train=60, peak=4000))
    assert told.startswith("peer trains 6.0 times as long (6.0 in seconds of processors, 3.5 with loading)")
    assert told.endswith("25% of its memory")


def test_validation_loss_of_known_logits() -> None:
    even = outcome(1, 1, logits=[[0.0, 0.0], [0.0, 0.0]])
    assert validation_losses(even, Texts(["a", "b"], [0, 1])) == pytest.approx((np.log(2), np.log(2)))
    boastful = outcome(1, 1, logits=[[3.0, -3.0]] * 4)
    plain, calibrated = validation_losses(boastful, Texts(["a"] * 4, [0, 0, 0, 1]))
    assert plain == pytest.approx(6 / 4, abs=0.01)
    assert calibrated < 1  # three of four are right


def test_the_largest_table_is_compared_with_the_smallest() -> None:
    told = table_line("GET /jobs", {10: [0.001] * 20, 1000: [0.5] * 20, 100: [0.002] * 20})
    assert told.endswith("1000: 500.0 / 500.0 ms, 100: 2.0 / 2.0 ms; p95 × 500.00")


def test_the_slowdown_beside_a_job_is_of_median_and_tail() -> None:
    beside = [0.02] * 18 + [0.08] * 2
    assert slowdown([0.01] * 20, beside).endswith("beside a training job: 20.0 and 80.0 ms; × 2.00 and × 8.00;")


def test_the_engine_is_the_busiest_threads_but_the_main_one() -> None:
    spent = {1: 5.0, 2: 40.0, 3: 50.0, 4: 3.0, 5: 2.0}
    assert outside_engine(spent, main_thread=1, engine_threads=2) == pytest.approx(0.10)
    assert outside_engine(spent, main_thread=3, engine_threads=1) == pytest.approx(0.60)
