"""Baselines and languages, on data where the answer is known."""

import numpy as np
import pytest

from parts.toy_text import choosing, deciding
from service.datasets.dataset import Example
from service.jobs.spec import HeadRows
from service.store.records import Task
from worker.evaluation.baselines import LEAST_ROWS, compare, majority, tfidf
from worker.evaluation.comparisons import Measured, compare_with_simple_models
from worker.evaluation.metrics import Binary, Floats, decide, macro_f1, to_matrix
from worker.evaluation.tfidf import LONGEST, tfidf_features
from worker.evaluation.transfer import ALL, ALL_QUICK, make_transfer

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


def make_splits() -> dict[str, Measured]:
    splits = {}
    for seed, name in enumerate(("train", "val", "test")):
        features, truth = clusters(90, seed)
        splits[name] = Measured(examples_of(truth), features.astype(np.float32), truth)
    return splits


def test_majority_gives_the_commonest_label_or_the_labels_that_most_rows_have() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert majority(truth, 2, "choosing").tolist() == [[0, 1, 0]] * 2
    assert majority(np.array([[1, 1], [1, 0], [0, 0]]), 1, "deciding").tolist() == [[1, 0]]


def by_words(train: list[str], truth: Binary, texts: list[str], task: Task) -> Floats:
    features = tfidf_features(train, {"known": train, "asked": texts}, truth.shape[1])
    return tfidf(features["known"], truth, features["asked"], task)


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_tfidf_learns_words_that_decide(task: Task) -> None:
    make = choosing if task == "choosing" else deciding
    (train, known), (texts, labels) = make(200), make(60, seed=1)
    sets = [own if isinstance(own, list) else [own] for own in known]
    truth = to_matrix([own if isinstance(own, list) else [own] for own in labels], LABELS)
    found = by_words(train, to_matrix(sets, LABELS), texts, task)
    assert found.shape == truth.shape
    assert macro_f1(truth, decide(found, task)) > 0.9


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_tfidf_of_a_single_label_says_how_likely_it_is(share: float) -> None:
    texts, labels = deciding(40)
    truth = np.array([[int("fruit" in own or share == 1)] for own in labels])
    found = by_words(texts, truth, texts, "deciding")
    assert np.array_equal(decide(found, "deciding"), truth)


def test_tfidf_of_texts_without_a_word_goes_by_their_characters() -> None:
    texts = ["🍏🍎 🍐", "🐕 🐈!", "🍏 🍐🍐", "🐈🐕 ..."] * 5
    truth = np.array([[1, 0], [0, 1]] * 10)
    assert np.array_equal(decide(by_words(texts, truth, texts, "choosing"), "choosing"), truth)


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


def test_features_of_tfidf_are_bounded_by_the_classes_that_each_has_a_weight_for() -> None:
    """Two bytes of text are about a feature; with a thousand classes each is a thousand weights."""
    generator = np.random.default_rng(0)
    texts = ["".join(map(chr, generator.integers(97, 123, 400))) for _ in range(100)]
    few, many = (tfidf_features(texts, {"texts": texts}, classes)["texts"] for classes in (1, 1_000))
    assert few.shape[1] > 10_000
    assert many.shape[1] * 1_000 <= 5_000_000
    assert few.dtype == many.dtype == np.float32


def test_of_an_endless_text_tfidf_reads_the_beginning() -> None:
    long = "apple " * (LONGEST // 6 + 1)
    found = tfidf_features([long, long + "pear"], {"texts": [long, long + "pear"]}, 2)["texts"].toarray()
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_baseline_that_memory_does_not_suffice_for_is_said_to_be_unmeasured(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def want(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("worker.evaluation.comparisons.tfidf_features", want)
    splits = make_splits()
    found = compare_with_simple_models(splits, splits["test"].truth, LABELS, task, "train")
    assert [baseline.name for baseline in found.baselines] == ["majority", "frozen_embeddings_logistic_regression"]
    assert [(own.name, own.reason) for own in found.unmeasured] == [("tfidf_logistic_regression", "out_of_memory")]


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_texts_are_vectorised_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        "worker.evaluation.comparisons.tfidf_features",
        lambda *of: calls.append(of) or tfidf_features(*of),  # type: ignore[func-returns-value]
    )
    splits = make_splits()
    compare_with_simple_models(splits, splits["test"].truth, LABELS, task, "train_and_val")
    assert len(calls) == 1


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
    assert (found.column, found.trained_in, found.tested_in) == (
        "language",
        ["de", "en", ALL_QUICK, ALL],
        ["de", "en"],
    )
    (same, other), (back, own), together, model = found.macro_f1
    assert (found.trained_on, found.tested_on) == ([100, 100, 200, 200], [100, 100])
    assert max(x for x in together if x is not None) < 0.7  # opposite corners for one label: no line divides them
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
    splits = make_splits()
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
