"""Baselines, languages and doubtful labels, on data where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from parts.toy_text import choosing, deciding
from service.datasets.dataset import Example
from service.jobs.spec import HeadRows
from service.store.records import Task
from worker.evaluation.baselines import LEAST_ROWS, compare, majority, out_of_fold, tfidf
from worker.evaluation.comparisons import Measured, compare_with_simple_models
from worker.evaluation.metrics import Binary, Floats, decide, macro_f1, to_matrix
from worker.evaluation.suspects import find_suspects
from worker.evaluation.transfer import ALL, make_transfer

HEAD_ROWS: tuple[HeadRows, ...] = ("train", "train_and_val")
LABELS = ["animal", "fruit", "weather"]


def clusters(rows: int, seed: int = 0, spread: float = 0.5) -> tuple[Floats, Binary]:
    """Features around one corner a label, and the labels."""
    generator = np.random.default_rng(seed)
    truth = np.eye(3, dtype=np.int64)[generator.integers(0, 3, rows)]
    return np.pad(truth, ((0, 0), (0, 5))) * 2.0 + generator.normal(scale=spread, size=(rows, 8)), truth


def examples_of(truth: Binary, **extra: list[str]) -> list[Example]:
    return [
        Example(f"text {n}", tuple(LABELS[i] for i in np.flatnonzero(row)), {k: v[n] for k, v in extra.items()})
        for n, row in enumerate(truth)
    ]


def test_majority_gives_the_commonest_label_or_the_labels_that_most_rows_have() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert majority(truth, 2, "choosing").tolist() == [[0, 1, 0]] * 2
    assert majority(np.array([[1, 1], [1, 0], [0, 0]]), 1, "deciding").tolist() == [[1, 0]]


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_tfidf_learns_words_that_decide(task: Task) -> None:
    make = choosing if task == "choosing" else deciding
    (train, known), (texts, labels) = make(200), make(60, seed=1)
    sets = [own if isinstance(own, list) else [own] for own in known]
    truth = to_matrix([own if isinstance(own, list) else [own] for own in labels], LABELS)
    found = tfidf(train, to_matrix(sets, LABELS), texts, task)
    assert found.shape == truth.shape
    assert macro_f1(truth, decide(found, task)) > 0.9


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_tfidf_of_a_single_label_says_how_likely_it_is(share: float) -> None:
    texts, labels = deciding(40)
    truth = np.array([[int("fruit" in own or share == 1)] for own in labels])
    found = tfidf(texts, truth, texts, "deciding")
    assert np.array_equal(decide(found, "deciding"), truth)


def test_tfidf_of_texts_without_a_word_goes_by_their_characters() -> None:
    texts = ["🍏🍎 🍐", "🐕 🐈!", "🍏 🍐🍐", "🐈🐕 ..."] * 5
    truth = np.array([[1, 0], [0, 1]] * 10)
    assert np.array_equal(decide(tfidf(texts, truth, texts, "choosing"), "choosing"), truth)


def test_a_better_model_beats_a_baseline_and_an_equal_one_does_not() -> None:
    generator = np.random.default_rng(0)
    _, truth = clusters(300)
    good, poor, as_poor = (
        np.where(generator.random((300, 1)) < share, truth, np.roll(truth, 1, axis=1)) for share in (0.9, 0.7, 0.7)
    )
    won = compare("majority", truth, good, poor)
    assert won.beaten
    assert won.gain.value == pytest.approx(macro_f1(truth, good) - macro_f1(truth, poor))
    assert 0 < won.gain.low < won.gain.value < won.gain.high
    assert not compare("majority", truth, as_poor, poor).beaten
    same = compare("majority", truth, poor, poor)
    assert (same.gain.low, same.gain.high, same.beaten) == (0, 0, False)  # paired: the same mistakes cancel out


def test_a_handful_of_test_rows_proves_nothing() -> None:
    truth = np.tile(np.eye(2, dtype=np.int64), (LEAST_ROWS // 2, 1))
    wrong = truth[:, ::-1]
    few = compare("majority", truth[1:], truth[1:], wrong[1:])
    assert few.gain.low > 0
    assert not few.beaten
    assert compare("majority", truth, truth, wrong).beaten


def test_planted_wrong_labels_are_the_first_suspects() -> None:
    features, truth = clusters(300)
    planted = [3, 50, 120, 200, 299]
    spoilt = truth.copy()
    spoilt[planted] = np.roll(truth[planted], 1, axis=1)
    found = find_suspects(examples_of(spoilt), spoilt, out_of_fold(features, spoilt, "choosing"), LABELS, "choosing")
    assert {suspect.row for suspect in found[:5]} == set(planted)
    for suspect in found[:5]:
        assert suspect.suggested == [LABELS[truth[suspect.row].argmax()]]
        assert suspect.labels == [LABELS[spoilt[suspect.row].argmax()]]
        assert suspect.probability < 0.3
    numbered = [replace(row, sent_row=1000 + number) for number, row in enumerate(examples_of(spoilt))]
    as_sent = find_suspects(numbered, spoilt, out_of_fold(features, spoilt, "choosing"), LABELS, "choosing")
    assert [suspect.row for suspect in as_sent] == [1000 + suspect.row for suspect in found]
    clean = find_suspects(examples_of(truth), truth, out_of_fold(features, truth, "choosing"), LABELS, "choosing")
    assert len(clean) < 5


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_training_row_that_is_alone_is_no_suspect(task: Task) -> None:
    features, truth = clusters(1)
    doubted = out_of_fold(features, truth, task)
    assert find_suspects(examples_of(truth), truth, doubted, LABELS, task) == []


def test_for_deciding_the_one_label_in_doubt_is_turned_over() -> None:
    features, truth = clusters(300)
    truth[:, 2] |= truth[:, 0]  # so that rows have two labels
    spoilt = truth.copy()
    spoilt[7, 2] = 1 - spoilt[7, 2]
    found = find_suspects(examples_of(spoilt), spoilt, out_of_fold(features, spoilt, "deciding"), LABELS, "deciding")
    assert found[0].row == 7
    assert found[0].suggested == [LABELS[label] for label in np.flatnonzero(truth[7])]


def test_trained_in_one_language_and_tested_in_each() -> None:
    features, truth = clusters(400)
    languages = ["de", "en"] * 200
    foreign = np.array([language == "en" for language in languages])
    features[foreign] = -features[foreign]  # so that the two have nothing in common
    rows = examples_of(truth, language=languages)
    half = 200
    found = make_transfer(
        (rows[:half], features[:half], truth[:half]),
        (rows[half:], features[half:], truth[half:]),
        truth[half:],
        "choosing",
    )
    assert found is not None
    assert (found.column, found.trained_in, found.tested_in) == ("language", ["de", "en", ALL], ["de", "en"])
    (same, other), (back, own), model = found.macro_f1
    assert min(x for x in (same, own) if x is not None) > 0.9
    assert max(x for x in (other, back) if x is not None) < 0.4
    assert model == [1.0, 1.0]


def test_a_language_with_a_single_label_has_the_f1_of_that_label() -> None:
    features, truth = clusters(80)
    truth[40:] = [1, 0, 0]
    predicted = truth.copy()
    predicted[40:44] = [0, 1, 0]
    rows = examples_of(truth, language=["de"] * 40 + ["en"] * 40)
    found = make_transfer((rows, features, truth), (rows, features, truth), predicted, "choosing")
    assert found is not None
    assert found.macro_f1[-1] == pytest.approx([1.0, 72 / 76])


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_everything_together(task: Task) -> None:
    splits = {}
    for seed, name in enumerate(("train", "val", "test")):
        features, truth = clusters(90, seed)
        splits[name] = Measured(examples_of(truth), features.astype(np.float32), truth)
    found = compare_with_simple_models(splits, splits["test"].truth, LABELS, task, "train")
    by_name = {baseline.name: baseline for baseline in found.baselines}
    assert list(by_name) == ["majority", "tfidf_logistic_regression", "frozen_embeddings_logistic_regression"]
    assert by_name["frozen_embeddings_logistic_regression"].macro_f1.value > 0.9
    assert by_name["majority"].macro_f1.value < 0.3
    assert found.transfer is None


def test_baselines_learn_from_the_rows_that_the_head_learnt_from() -> None:
    """Here validation alone has the third label."""
    splits = {}
    for seed, name in enumerate(("train", "val", "test")):
        features, truth = clusters(90, seed)
        kept = truth[:, 2] == 0 if name == "train" else np.full(len(truth), True)
        splits[name] = Measured(examples_of(truth[kept]), features[kept].astype(np.float32), truth[kept])
    found = {
        head_rows: compare_with_simple_models(splits, splits["test"].truth, LABELS, "choosing", head_rows).baselines[2]
        for head_rows in HEAD_ROWS
    }
    assert found["train"].macro_f1.value < 0.8
    assert found["train_and_val"].macro_f1.value > 0.9
