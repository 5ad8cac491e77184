"""Doubtful labels, on data where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from service.datasets.dataset import Example
from service.jobs.report import Suspect, SuspectCounts
from service.store.records import Task
from worker.evaluation.folds import out_of_fold, text_groups
from worker.evaluation.metrics import Binary, Floats
from worker.evaluation.suspects import find_suspects

LABELS = ["animal", "fruit", "weather"]


def clusters(rows: int, seed: int = 0, spread: float = 0.5) -> tuple[Floats, Binary]:
    """Features around one corner a label, and the labels."""
    generator = np.random.default_rng(seed)
    truth = np.eye(3, dtype=np.int64)[generator.integers(0, 3, rows)]
    return np.pad(truth, ((0, 0), (0, 5))) * 2.0 + generator.normal(scale=spread, size=(rows, 8)), truth


def examples_of(truth: Binary) -> list[Example]:
    return [Example(f"text {n}", tuple(LABELS[i] for i in np.flatnonzero(row))) for n, row in enumerate(truth)]


def suspects_of(
    features: Floats, truth: Binary, task: Task = "choosing", rows: list[Example] | None = None
) -> tuple[list[Suspect], SuspectCounts]:
    rows = rows or examples_of(truth)
    doubted = out_of_fold(features, truth, text_groups([row.text for row in rows]), task)
    return find_suspects(rows, truth, doubted, LABELS, task)


def test_planted_wrong_labels_are_suspected_and_hardly_anything_else() -> None:
    """A third of them are less plain than the average text, and are left alone as those are."""
    features, truth = clusters(300)
    planted = np.arange(0, 300, 20)
    spoilt = truth.copy()
    spoilt[planted] = np.roll(truth[planted], 1, axis=1)
    found, counts = suspects_of(features, spoilt)
    assert len({suspect.row for suspect in found} & set(planted.tolist())) >= 9
    assert len(found) <= 11
    for suspect in found[:5]:
        assert suspect.suggested == [LABELS[truth[suspect.row].argmax()]]
        assert suspect.labels == [LABELS[spoilt[suspect.row].argmax()]]
        assert suspect.probability < 0.3
    assert (counts.rows, counts.judged, counts.suspected) == (300, 300, len(found))
    assert counts.suspected < counts.contradicted <= 20
    numbered = [replace(row, sent_row=1000 + number) for number, row in enumerate(examples_of(spoilt))]
    as_sent, _ = suspects_of(features, spoilt, rows=numbered)
    assert [suspect.row for suspect in as_sent] == [1000 + suspect.row for suspect in found]
    clean, _ = suspects_of(features, truth)
    assert len(clean) < 3


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_training_row_that_is_alone_is_no_suspect(task: Task) -> None:
    features, truth = clusters(1)
    assert suspects_of(features, truth, task) == (
        [],
        SuspectCounts(rows=1, judged=0, contradicted=0, suspected=0),
    )


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_labels_only_example_is_not_suspected_for_being_alone(task: Task) -> None:
    """No fold that leaves it out knows the label; it is as plain as any."""
    features, truth = clusters(200)
    kept = (truth[:, 2] == 0) | (np.arange(200) == int(truth[:, 2].argmax()))
    features, truth = features[kept], truth[kept]
    found, counts = suspects_of(features, truth, task)
    assert not [suspect for suspect in found if "weather" in suspect.labels]
    assert counts.judged == len(truth) - (task == "choosing")  # its other labels can still be judged for deciding


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_a_hard_set_is_contradicted_often_and_suspected_seldom(task: Task) -> None:
    features, truth = clusters(300, spread=1.5)
    found, counts = suspects_of(features, truth, task)
    assert counts.contradicted > 60
    assert counts.suspected < 0.6 * counts.contradicted
    assert len(found) == min(50, counts.suspected)


def test_copies_of_a_text_do_not_vouch_for_each_other() -> None:
    """Each wrong label is there three times, in features that tell the copies from everything else."""
    features, truth = clusters(240)
    features = np.pad(features, ((0, 0), (0, 20)))
    planted = np.arange(0, 20)
    features[planted, 8 + planted] = 30.0
    spoilt = truth.copy()
    spoilt[planted] = np.roll(truth[planted], 1, axis=1)
    copied = np.concatenate([np.arange(240), planted, planted])
    rows = [Example(f"Text  {n}".upper() if place >= 240 else f"text {n}", row.labels)
            for place, n in enumerate(copied.tolist()) for row in [examples_of(spoilt)[n]]]  # fmt: skip
    found, _ = suspects_of(features[copied], spoilt[copied], rows=rows)
    assert len({suspect.text.casefold().split()[1] for suspect in found} & set(map(str, planted.tolist()))) > 15


def test_for_deciding_the_one_label_in_doubt_is_turned_over() -> None:
    features, truth = clusters(300)
    truth[:, 2] |= truth[:, 0]  # so that rows have two labels
    planted = np.arange(0, 300, 20)
    spoilt = truth.copy()
    spoilt[planted, 2] = 1 - spoilt[planted, 2]
    found, _ = suspects_of(features, spoilt, "deciding")
    rows = [suspect.row for suspect in found]
    assert len(set(rows) & set(planted.tolist())) >= 6
    assert set(rows[:5]) <= set(planted.tolist())
    for suspect in found[:5]:
        assert suspect.suggested == [LABELS[label] for label in np.flatnonzero(truth[suspect.row])]
