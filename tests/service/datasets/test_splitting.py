"""What holds of every cut, whatever the labels, the shares and the seed."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parts.toy_text import choosing, deciding
from service.datasets.splitting import cut_rows, iterative_stratification

THIRDS = {"train": 0.6, "val": 0.2, "test": 0.2}
LABELS = "abcdefg"
SINGLE = st.lists(st.sampled_from(LABELS).map(lambda label: (label,)), max_size=80)
SEVERAL = st.lists(st.lists(st.sampled_from(LABELS), unique=True, max_size=4), max_size=80)
SEEDS = st.integers(0, 2**32 - 1)
# In whole percents, as people ask for them: val and test at most a half each, the rest is train's.
SHARES = st.tuples(st.integers(1, 50), st.integers(1, 49)).map(
    lambda asked: {"train": 1 - sum(asked) / 100, "val": asked[0] / 100, "test": asked[1] / 100}
)


@given(SEVERAL, SHARES, SEEDS)
def test_each_row_is_in_exactly_one_split(label_sets: list[list[str]], shares: dict[str, float], seed: int) -> None:
    names = iterative_stratification(label_sets, shares, seed)
    assert len(names) == len(label_sets)
    assert set(names) <= shares.keys()


@given(SEVERAL, SHARES, SEEDS)
def test_every_label_occurs_in_train(label_sets: list[list[str]], shares: dict[str, float], seed: int) -> None:
    names = iterative_stratification(label_sets, shares, seed)
    in_train = {label for labels, name in zip(label_sets, names, strict=True) if name == "train" for label in labels}
    assert in_train == {label for labels in label_sets for label in labels}


@given(SEVERAL, SHARES, SEEDS)
def test_the_same_seed_gives_the_same_cut(label_sets: list[list[str]], shares: dict[str, float], seed: int) -> None:
    assert iterative_stratification(label_sets, shares, seed) == iterative_stratification(label_sets, shares, seed)


@given(SINGLE, st.integers(1, 33), st.integers(1, 33), SEEDS)
def test_single_labels_are_shared_out_to_the_row(label_sets: list[tuple[str]], val: int, test: int, seed: int) -> None:
    shares = {"train": 1 - (val + test) / 100, "val": val / 100, "test": test / 100}
    names = iterative_stratification(label_sets, shares, seed)
    rows = Counter(labels[0] for labels in label_sets)
    got = Counter((labels[0], name) for labels, name in zip(label_sets, names, strict=True))
    for label, count in rows.items():
        for name, share in shares.items():
            assert abs(got[label, name] - share * count) <= 1


@given(SEVERAL, st.lists(st.integers(0, 9), min_size=80, max_size=80), SHARES, SEEDS)
def test_rows_of_one_kind_stay_together_and_train_still_lacks_no_label(
    label_sets: list[list[str]], kinds: list[int], shares: dict[str, float], seed: int
) -> None:
    kinds = kinds[: len(label_sets)]
    names = iterative_stratification(label_sets, shares, seed, kinds)
    assert len(set(zip(kinds, names, strict=True))) == len(set(kinds))
    assert names == iterative_stratification(label_sets, shares, seed, kinds)
    in_train = {label for labels, name in zip(label_sets, names, strict=True) if name == "train" for label in labels}
    assert in_train == {label for labels in label_sets for label in labels}


@given(SEVERAL, SHARES, SEEDS)
def test_rows_that_are_each_of_their_own_kind_are_cut_as_ever(
    label_sets: list[list[str]], shares: dict[str, float], seed: int
) -> None:
    names = iterative_stratification(label_sets, shares, seed)
    assert iterative_stratification(label_sets, shares, seed, range(len(label_sets))) == names


@pytest.mark.parametrize("rows_a_label", [9, 15, 60])
def test_shares_are_kept_where_texts_repeat(rows_a_label: int) -> None:
    """A fifth of the rows say one of two things, which weigh more than any other text."""
    rows = [(label, n) for label in "abc" for n in range(rows_a_label)]
    kinds = [(label, n if n < 0.8 * rows_a_label else -1 - n % 2) for label, n in rows]
    names = iterative_stratification([(label,) for label, _ in rows], THIRDS, 0, kinds)
    got = Counter((label, name) for (label, _), name in zip(rows, names, strict=True))
    for label in "abc":
        for name, share in THIRDS.items():
            assert abs(got[label, name] - share * rows_a_label) <= 1


@pytest.mark.parametrize("large", [3, 30, 60])
def test_a_large_coarse_kind_is_parted_where_a_label_would_miss_its_shares_and_small_ones_are_not(large: int) -> None:
    labels = [("a",)] * 60 + [("b",)] * 40
    coarse = [0] * large + [1 + row // 2 for row in range(large, 100)]
    names = cut_rows(labels, THIRDS, 0, coarse, range(100))
    assert Counter(names) == pytest.approx({"train": 60, "val": 20, "test": 20}, abs=1)
    parted = [
        kind for kind in set(coarse) if len({name for name, own in zip(names, coarse, strict=True) if own == kind}) > 1
    ]
    assert parted == [0] * (large > 36)


GROUPS = st.lists(st.integers(0, 12), min_size=80, max_size=80)


@given(SEVERAL.filter(len), GROUPS, st.lists(st.integers(0, 30), min_size=80, max_size=80), SHARES, SEEDS)
def test_no_group_is_ever_parted_whatever_else_relates_rows_and_train_lacks_no_label(
    label_sets: list[list[str]], groups: list[int], kinds: list[int], shares: dict[str, float], seed: int
) -> None:
    rows = len(label_sets)
    fine = [f"{kind}, {row % 2}" for row, kind in enumerate(kinds[:rows])]
    names = cut_rows(label_sets, shares, seed, kinds[:rows], fine, groups[:rows])
    assert len(set(zip(groups, names, strict=False))) == len(set(groups[:rows]))
    assert names == cut_rows(label_sets, shares, seed, kinds[:rows], fine, groups[:rows])
    in_train = {label for labels, name in zip(label_sets, names, strict=True) if name == "train" for label in labels}
    assert in_train == {label for labels in label_sets for label in labels}


def planted(sizes: Sequence[int], seed: int) -> tuple[list[int], list[tuple[str, ...]]]:
    """Groups of so many rows, each with a leaning to one of three labels."""
    rng = random.Random(seed)
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    return groups, [(rng.choices("abc", [4 if group % 3 == own else 1 for own in range(3)])[0],) for group in groups]


@pytest.mark.parametrize("sizes", [[5] * 60, [30] * 10, range(1, 25), [60, 40, *[10] * 20], [2] * 30 + [1] * 240])
@pytest.mark.parametrize("seed", range(4))
def test_groups_are_shared_out_as_asked(sizes: Sequence[int], seed: int) -> None:
    groups, label_sets = planted(sizes, seed)
    names = cut_rows(label_sets, THIRDS, seed, range(len(groups)), range(len(groups)), groups)
    assert len(set(zip(groups, names, strict=True))) == len(sizes)
    rows = Counter(labels[0] for labels in label_sets)
    got = Counter((labels[0], name) for labels, name in zip(label_sets, names, strict=True))
    for name, share in THIRDS.items():
        assert abs(names.count(name) - share * len(groups)) <= 5
        for label, count in rows.items():
            assert abs(got[label, name] - share * count) <= count / 5


@pytest.mark.parametrize("size", [1, 4, 20])
def test_three_groups_fill_three_splits(size: int) -> None:
    groups = [row // size for row in range(3 * size)]
    names = cut_rows([("a",)] * 3 * size, THIRDS, 0, range(3 * size), range(3 * size), groups)
    assert sorted(set(zip(groups, names, strict=True))) == sorted(zip(range(3), names[::size], strict=True))
    assert set(names) == set(THIRDS)


def test_what_a_label_needs_goes_to_train_though_other_groups_would_come_nearer_to_the_shares() -> None:
    label_sets = [("a",)] * 59 + [("rare",)] + [("a",)] * 60
    names = cut_rows(label_sets, THIRDS, 0, range(120), range(120), [0] * 60 + [1 + row // 6 for row in range(60)])
    assert (names[59], Counter(names)) == ("train", {"train": 72, "val": 24, "test": 24})


def test_a_text_that_many_groups_have_parts_none_and_the_others_stay_together_with_their_twins() -> None:
    """Every fifth answer is the same; of two groups each, one answer is nearly the same."""
    groups = [row // 5 for row in range(300)]
    kinds: list[int] = [-1 if row % 5 == 0 else -2 - row // 10 if row % 5 == 1 else row for row in range(300)]
    names = cut_rows([("ab"[row % 2],) for row in range(300)], THIRDS, 0, kinds, kinds, groups)
    assert len(set(zip(groups, names, strict=True))) == 60
    twins = {(kind, name) for kind, name in zip(kinds, names, strict=True) if kind < -1}
    assert len(twins) == 30
    assert Counter(names) == pytest.approx({"train": 180, "val": 60, "test": 60}, abs=10)


@given(st.integers(0, 60), st.integers(0, 60), SEEDS)
def test_rows_without_labels_are_shared_out_too(labelled: int, bare: int, seed: int) -> None:
    names = iterative_stratification([("a",)] * labelled + [()] * bare, THIRDS, seed)
    for group in (names[:labelled], names[labelled:]):
        for name, share in THIRDS.items():
            assert abs(group.count(name) - share * len(group)) <= 1


def test_rare_labels_fill_val_and_test_alike() -> None:
    names = iterative_stratification([(f"label {row // 2}",) for row in range(40)], THIRDS, 0)
    assert Counter(names) == {"train": 20, "val": 10, "test": 10}


def test_another_seed_gives_another_cut() -> None:
    label_sets = [(label,) for label in choosing(60)[1]]
    cuts = {tuple(iterative_stratification(label_sets, THIRDS, seed)) for seed in range(10)}
    assert len(cuts) == 10


@pytest.mark.parametrize("seed", range(5))
def test_several_labels_are_spread_as_the_splits_are(seed: int) -> None:
    label_sets = deciding(400, seed)[1]
    names = iterative_stratification(label_sets, THIRDS, seed)
    for name, share in THIRDS.items():
        rows = [labels for labels, own in zip(label_sets, names, strict=True) if own == name]
        assert abs(len(rows) - share * 400) <= 12
        for label in {label for labels in label_sets for label in labels}:
            wanted = share * sum(label in labels for labels in label_sets)
            assert abs(sum(label in labels for labels in rows) - wanted) <= 4
        wanted = share * label_sets.count([])
        assert abs(rows.count([]) - wanted) <= 1
