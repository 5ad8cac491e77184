import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.inference.predictions import Encoding
from worker.training.batches import Batches, TrainingRow, make_rows
from worker.training.loss import make_targets


def make(rows: int, batch_size: int, seed: int = 0) -> Batches:
    return Batches([TrainingRow(Encoding([number], False), number) for number in range(rows)], batch_size, seed)


def targets(batches: Batches, step: int) -> list[int]:
    return [row.target for row in batches.at(step) if isinstance(row.target, int)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_every_epoch_reads_every_row_once(rows: int, batch_size: int, seed: int) -> None:
    batches = make(rows, batch_size, seed)
    for epoch in range(2):
        steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
        assert sorted(target for step in steps for target in targets(batches, step)) == list(range(rows))
        assert all(batches.epoch_of(step) == epoch for step in steps)


def test_a_step_has_the_same_rows_whenever_it_is_asked_for() -> None:
    one, other = make(50, 8), make(50, 8)
    for step in range(10):
        one.at(step)
    assert one.at(11) == other.at(11)


def test_texts_of_like_length_share_a_batch_and_short_ones_do_not_come_first() -> None:
    rows = [TrainingRow(Encoding([5] * length, False), length) for length in range(1, 513)]
    batches = Batches(rows, 16, seed=0)
    lengths = [sorted(targets(batches, step)) for step in range(batches.steps_per_epoch)]
    assert np.mean([own[-1] - own[0] for own in lengths]) < 100
    assert lengths != sorted(lengths)


def test_few_rows_too_share_a_batch_with_others_in_the_next_epoch() -> None:
    rows = [TrainingRow(Encoding([5] * length, False), length) for length in range(1, 31)]
    batches = Batches(rows, 16, seed=0)
    epochs = [{frozenset(targets(batches, 2 * epoch + step)) for step in range(2)} for epoch in range(5)]
    assert len(set(map(frozenset, epochs))) == 5


@given(st.integers(1, 300), st.integers(1, 20))
def test_no_batch_is_smaller_than_others_by_more_than_a_row(rows: int, batch_size: int) -> None:
    batches = make(rows, batch_size)
    sizes = [len(batches.at(step)) for step in range(batches.steps_per_epoch)]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first = targets(make(50, 50), 0)
    assert first != targets(make(50, 50), 1)
    assert first != targets(make(50, 50, seed=1), 0)


def test_targets_for_deciding_are_views_of_the_labels() -> None:
    truth = np.array([[0, 1], [1, 1]])
    rows = make_rows([Encoding([5], False)] * 2, truth, "deciding")
    assert all(np.shares_memory(row.target, truth) for row in rows)
    assert make_targets([row.target for row in rows], "deciding", torch.device("cpu")).tolist() == [[0, 1], [1, 1]]
    assert [row.target for row in make_rows([Encoding([5], False)] * 2, truth, "choosing")] == [1, 0]
