"""How near a cut comes to the shares that were asked for, and bringing one of few and large groups nearer."""

from collections import Counter
from collections.abc import Mapping, Sequence

from service.datasets.kinds import Kinds, LabelSets, grouped

MOST_MOVED, ROUNDS = 1000, 20  # groups, the largest: how near one comes is not decided by what is smaller
LACKING, NOT_LEARNT = 1e3, 1e6  # worse than any shares are a split without a label, and most of all train
Place = tuple[str | None, str]  # label (None: the whole), split
Miss = tuple[int, float]


class Shares:
    """How many rows of each label, and of the whole, each split has and should have. The first split is train.

    `names`: the split of each row, which `even_out` changes.
    """

    def __init__(self, label_sets: LabelSets, fractions: Mapping[str, float], names: Sequence[str]) -> None:
        self.names = list(names)
        self._label_sets = label_sets
        self._train, *_ = self._splits = list(fractions)
        rows: Counter[str | None] = Counter({None: len(label_sets)})
        self._there: Counter[Place] = Counter((None, name) for name in names)
        for labels, name in zip(label_sets, names, strict=True):
            rows.update(labels)
            self._there.update((label, name) for label in labels)
        self._asked = {(label, name): count * fractions[name] for label, count in rows.items() for name in fractions}

    def miss(self) -> Miss:
        """How often a split has nothing of what it should have some of, and how far it is off where that is most: 1 is
        a quarter, or four rows."""
        return sum(map(self._lacks, self._asked)), max(map(self._off, self._asked))

    def even_out(self, kinds: Kinds) -> None:
        """Moves rows, all of a kind at once, as long as that brings what is there nearer to what is asked."""
        groups = sorted(grouped(kinds), key=len, reverse=True)[:MOST_MOVED]
        for _ in range(ROUNDS):
            if not sum([self._move(rows) for rows in groups]):
                return

    def _lacks(self, place: Place) -> bool:
        label, name = place
        return not self._there[place] and (label is None or name == self._train or self._asked[place] >= 2)

    def _off(self, place: Place) -> float:
        return abs(self._there[place] - self._asked[place]) / max(4, self._asked[place] / 4)

    def _cost(self, place: Place) -> float:
        lacking = NOT_LEARNT if place[1] == self._train else LACKING
        return self._off(place) ** 2 + self._lacks(place) * lacking

    def _move(self, rows: Sequence[int]) -> bool:
        """Into the split where they do most good, if that is another."""
        own = self.names[rows[0]]
        held: Counter[str | None] = Counter({None: len(rows)})
        for row in rows:
            held.update(self._label_sets[row])
        costs = {own: 0.0} | {name: self._cost_of_move(held, own, name) for name in self._splits if name != own}
        best = min(costs, key=lambda name: round(costs[name], 9))
        self._shift(held, own, best)
        for row in rows:
            self.names[row] = best
        return best != own

    def _cost_of_move(self, held: Counter[str | None], own: str, name: str) -> float:
        """What is gained is below 0."""
        places = [(label, split) for label in held for split in (own, name)]
        before = sum(map(self._cost, places))
        self._shift(held, own, name)
        after = sum(map(self._cost, places))
        self._shift(held, name, own)
        return after - before

    def _shift(self, held: Counter[str | None], own: str, name: str) -> None:
        for label, count in held.items():
            self._there[label, own] -= count
            self._there[label, name] += count
