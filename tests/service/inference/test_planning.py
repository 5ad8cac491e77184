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


@given(lengths_and_limits, st.integers(0, 200))
def test_no_batch_has_more_padding_than_that(case: tuple[list[int], int], most: int) -> None:
    lengths, limit = case
    plan = plan_batches(lengths, limit, most)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for own in ([lengths[index] for index in batch] for batch in plan):
        assert len(own) * max(own) - sum(own) <= most
        assert len(own) * max(own) <= limit or len(own) == 1


def test_texts_of_unlike_length_part_only_where_padding_costs_more_than_a_pass() -> None:
    assert plan_batches([10, 10, 10, 20], 1_000, most_padding=30) == [[0, 1, 2, 3]]
    assert plan_batches([10, 10, 10, 20], 1_000, most_padding=29) == [[0, 1, 2], [3]]
