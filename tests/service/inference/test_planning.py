from hypothesis import given
from hypothesis import strategies as st

from service.inference.planning import plan_batches

lengths_and_limits = st.tuples(st.lists(st.integers(1, 512), max_size=200), st.integers(1, 4096))


@given(lengths_and_limits)
def test_every_text_is_planned_once_and_no_batch_is_too_large(case: tuple[list[int], int]) -> None:
    lengths, limit = case
    plan = plan_batches(lengths, limit)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch) * max(lengths[index] for index in batch) <= limit or len(batch) == 1


@given(lengths_and_limits)
def test_texts_of_like_length_go_together(case: tuple[list[int], int]) -> None:
    lengths, limit = case
    planned = [lengths[index] for batch in plan_batches(lengths, limit) for index in batch]
    assert planned == sorted(lengths)


def test_a_batch_is_filled_before_the_next_is_begun() -> None:
    assert [len(batch) for batch in plan_batches([10] * 25, 100)] == [10, 10, 5]
