"""Cutting the missing splits from train, stratified and seeded."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from service.datasets.kinds import Counts, Kinds, LabelSets, counted_labels, grouped, joined, joined_where_small
from service.datasets.shares import Shares

AS_ASKED = (0, 1.0)  # no split lacks anything, and none is off by more than a quarter or four rows


def cut_rows(
    label_sets: LabelSets,
    fractions: Mapping[str, float],
    seed: int,
    coarse: Kinds,
    fine: Kinds,
    groups: Kinds | None = None,
) -> list[str]:
    """As `iterative_stratification`, with rows of one kind together where the shares can still be had: of a coarse
    kind, else of all but the large ones, else of a fine kind, else of all but the large ones of these; else, as in a
    set of few texts many times over, row by row.

    Args:
        groups: what no cut may part, in whose place each row would be of its own. Where the shares cannot be had at
            all with them, kinds are kept whole too that do not make it worse.
    """
    tried = []
    for kinds in _kinds_to_try(label_sets, fractions, coarse, fine, groups or range(len(label_sets))):
        cut = Shares(label_sets, fractions, iterative_stratification(label_sets, fractions, seed, kinds))
        if groups:
            cut.even_out(kinds)
        if cut.miss() <= AS_ASKED:
            return cut.names
        tried.append(cut)
    least = tried[-1].miss()
    return next(cut.names for cut in tried if cut.miss() <= least)


def _kinds_to_try(
    label_sets: LabelSets, fractions: Mapping[str, float], coarse: Kinds, fine: Kinds, groups: Kinds
) -> Iterator[Kinds]:
    yield joined(groups, coarse)
    most = _most_together(label_sets, fractions, groups)
    equal = joined(groups, fine)
    yield joined_where_small(equal, coarse, label_sets, most)
    yield equal
    yield joined_where_small(joined_where_small(groups, fine, label_sets, most), coarse, label_sets, most)
    yield groups


def _most_together(label_sets: LabelSets, fractions: Mapping[str, float], groups: Kinds) -> dict[str, float]:
    """Of each label, so many rows as a split may be off, or as some group has anyway."""
    rows = Counter(label for labels in label_sets for label in labels)
    largest: Counts = Counter()
    for held in counted_labels(grouped(groups), label_sets):
        largest.update({label: count - largest[label] for label, count in held.items() if count > largest[label]})
    return {label: max(4, min(fractions.values()) * count / 4, largest[label]) for label, count in rows.items()}


def iterative_stratification(
    label_sets: LabelSets,
    fractions: Mapping[str, float],
    seed: int,
    kinds: Kinds | None = None,
) -> list[str]:
    """The name of a split for each row, so that every label is spread as `fractions` asks.

    Works for any number of labels a row; with one label a row it is ordinary stratification. Ties go to the split
    named first, and it gets a row of every label, so name the one first that must not lack any: train. Rows
    without a label form a stratum of their own. Source: Sechidis, Tsoumakas and Vlahavas 2011, "On the
    Stratification of Multi-Label Data"; here what is dealt out are groups of rows, each counted with all its rows.

    Args:
        label_sets: the labels of each row.
        fractions: split name → share of the rows; they sum to 1.
        kinds: None: each row is of its own.
    """
    groups = grouped(range(len(label_sets)) if kinds is None else kinds)
    counts = counted_labels(groups, label_sets)
    strata = _strata(groups, counts, seed)
    left = {label: sum(counts[group][label] for group in members) for label, members in strata.items()}
    wanted = {label: {name: share * rows for name, share in fractions.items()} for label, rows in left.items()}
    room = {name: share * len(label_sets) for name, share in fractions.items()}
    assigned: list[str | None] = [None] * len(groups)
    while left:
        rarest = min(left, key=left.__getitem__)  # the rarest label first: it has the fewest ways to come out even
        for group in strata[rarest]:
            if assigned[group] is not None:
                continue
            name = max(fractions, key=lambda name: (round(wanted[rarest][name], 9), round(room[name], 9)))
            assigned[group] = name
            room[name] -= len(groups[group])
            for label, rows in counts[group].items():
                wanted[label][name] -= rows
                if label in left:
                    left[label] -= rows
        del left[rarest]
    names = [name for name in assigned if name is not None]
    _complete(next(iter(fractions)), names, strata, groups)
    split_of = {row: name for rows, name in zip(groups, names, strict=True) for row in rows}
    return [split_of[row] for row in range(len(label_sets))]


def _strata(groups: Sequence[Sequence[int]], counts: Sequence[Counts], seed: int) -> dict[str | None, list[int]]:
    """Label → the groups that have it, in a random order, but the largest first: small ones then even it out."""
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: -len(groups[group]))
    strata: dict[str | None, list[int]] = {}
    for group in order:
        for label in counts[group]:
            strata.setdefault(label, []).append(group)
    return strata


def _complete(
    split: str, names: list[str], strata: Mapping[str | None, Sequence[int]], groups: Sequence[Sequence[int]]
) -> None:
    """Moves the smallest group of each label that `split` lacks into it: what train lacks cannot be learnt."""
    for label, members in strata.items():
        if label is not None and all(names[group] != split for group in members):
            names[min(members, key=lambda group: len(groups[group]))] = split
