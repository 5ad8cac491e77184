"""Cutting the missing splits from train, stratified and seeded."""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

Kinds = Sequence[Hashable]  # of each row; rows of one kind stay together


def cut_rows(
    label_sets: Sequence[Sequence[str]], fractions: Mapping[str, float], seed: int, coarse: Kinds, fine: Kinds
) -> list[str]:
    """As `iterative_stratification`, with rows of one kind together where the shares can still be had: of a coarse
    kind, else of all but the large ones, else of a fine kind; else, as in a set of few texts many times over, row by
    row."""
    for kinds in (coarse, _without_large(coarse, fine, label_sets, fractions), fine):
        together = iterative_stratification(label_sets, fractions, seed, kinds)
        if _as_asked(label_sets, together, fractions):
            return together
    return iterative_stratification(label_sets, fractions, seed)


def _without_large(
    coarse: Kinds, fine: Kinds, label_sets: Sequence[Sequence[str]], fractions: Mapping[str, float]
) -> Kinds:
    """Coarse kinds, but fine ones for the rows of each that takes more of a label than a split may be off."""
    rows = Counter(label for labels in label_sets for label in labels)
    groups = _grouped(coarse)
    counts = _counts(groups, label_sets)
    kinds: list[Hashable] = [("fine", kind) for kind in fine]
    for members, held in zip(groups, counts, strict=True):
        if all(count <= max(4, min(fractions.values()) * rows[label] / 4) for label, count in held.items() if label):
            for row in members:
                kinds[row] = ("coarse", coarse[row])
    return kinds


def _as_asked(label_sets: Sequence[Sequence[str]], names: Sequence[str], fractions: Mapping[str, float]) -> bool:
    """Whether each split has rows, and what it should of each label and of the whole: to a quarter or four rows, and
    some where two are asked for."""
    rows: Counter[str | None] = Counter({None: len(label_sets)})
    there: Counter[tuple[str | None, str]] = Counter((None, name) for name in names)
    for labels, name in zip(label_sets, names, strict=True):
        rows.update(labels)
        there.update((label, name) for label in labels)
    asked = {(label, name): count * share for label, count in rows.items() for name, share in fractions.items()}
    near = all(abs(there[place] - count) <= max(4, count / 4) for place, count in asked.items())
    return near and all(there[place] for place, count in asked.items() if count >= 2 or place[0] is None)


def iterative_stratification(
    label_sets: Sequence[Sequence[str]],
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
    groups = _grouped(range(len(label_sets)) if kinds is None else kinds)
    counts = _counts(groups, label_sets)
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


def _grouped(kinds: Kinds) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for row, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(row)
    return list(groups.values())


def _counts(groups: Sequence[Sequence[int]], label_sets: Sequence[Sequence[str]]) -> list[Counter[str | None]]:
    """Of each group how many rows have a label. Most are alike, and a million of their own would be much memory."""
    known: dict[tuple[str | None, ...], Counter[str | None]] = {}
    held = (tuple(label for row in rows for label in label_sets[row] or (None,)) for rows in groups)
    return [known.get(labels) or known.setdefault(labels, Counter(labels)) for labels in held]


def _strata(
    groups: Sequence[Sequence[int]], counts: Sequence[Counter[str | None]], seed: int
) -> dict[str | None, list[int]]:
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
