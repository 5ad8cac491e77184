"""Cutting the missing splits from train, stratified and seeded."""

import random
from collections.abc import Mapping, Sequence


def iterative_stratification(
    label_sets: Sequence[Sequence[str]], fractions: Mapping[str, float], seed: int
) -> list[str]:
    """The name of a split for each row, so that every label is spread as `fractions` asks.

    Works for any number of labels a row; with one label a row it is ordinary stratification. Ties go to the split
    named first, and it gets a row of every label, so name the one first that must not lack any: train. Rows
    without a label form a group of their own. Source: Sechidis, Tsoumakas and Vlahavas 2011, "On the
    Stratification of Multi-Label Data".

    Args:
        label_sets: the labels of each row.
        fractions: split name → share of the rows; they sum to 1.
    """
    order = list(range(len(label_sets)))
    random.Random(seed).shuffle(order)
    groups: dict[str | None, list[int]] = {}
    for row in order:
        for label in label_sets[row] or (None,):
            groups.setdefault(label, []).append(row)
    wanted = {label: {name: share * len(rows) for name, share in fractions.items()} for label, rows in groups.items()}
    room = {name: share * len(label_sets) for name, share in fractions.items()}
    left = {label: len(rows) for label, rows in groups.items()}
    assigned: list[str | None] = [None] * len(label_sets)
    while left:
        rarest = min(left, key=left.__getitem__)  # the rarest label first: it has the fewest ways to come out even
        for row in groups[rarest]:
            if assigned[row] is not None:
                continue
            name = max(fractions, key=lambda name: (round(wanted[rarest][name], 9), round(room[name], 9)))
            assigned[row] = name
            room[name] -= 1
            for label in label_sets[row] or (None,):
                wanted[label][name] -= 1
                if label in left:
                    left[label] -= 1
        del left[rarest]
    names = [name for name in assigned if name is not None]
    _complete(next(iter(fractions)), names, groups)
    return names


def _complete(split: str, names: list[str], groups: Mapping[str | None, Sequence[int]]) -> None:
    """Moves a row of each label that `split` lacks into it: what train lacks cannot be learnt."""
    for label, rows in groups.items():
        if label is not None and all(names[row] != split for row in rows):
            names[rows[0]] = split
