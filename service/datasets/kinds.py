"""Which rows stay together in a cut: what relates them, and several such relations joined."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

Kinds = Sequence[Hashable]  # of each row; rows of one kind stay together
LabelSets = Sequence[Sequence[str]]  # of each row
Counts = Counter[str | None]  # of rows by label; those without any count for None


def grouped(kinds: Kinds) -> list[list[int]]:
    """The rows of each kind; kinds in the order of their first rows."""
    groups: dict[Hashable, list[int]] = {}
    for row, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(row)
    return list(groups.values())


def counted_labels(groups: Sequence[Sequence[int]], label_sets: LabelSets) -> list[Counts]:
    """Of each group how many rows have a label. Most are alike, and a million of their own would be much memory."""
    known: dict[tuple[str | None, ...], Counts] = {}
    held = (tuple(label for row in rows for label in label_sets[row] or (None,)) for rows in groups)
    return [known.get(labels) or known.setdefault(labels, Counter(labels)) for labels in held]


def joined(kinds: Kinds, others: Kinds) -> Kinds:
    """Rows together that are of one kind or of one other kind, directly or over others."""
    return _joined(kinds, _links(kinds, others), None, {})


def joined_where_small(kinds: Kinds, others: Kinds, label_sets: LabelSets, most: Mapping[str, float]) -> Kinds:
    """The same, but for those other kinds that would bring more rows of a label together than `most` says. The small
    ones first, so that as many as can be are kept whole."""
    groups = grouped(kinds)
    held = dict(zip((kinds[rows[0]] for rows in groups), counted_labels(groups, label_sets), strict=True))
    links = sorted(_links(kinds, others), key=len)
    return _joined(kinds, links, held, most)


def _links(kinds: Kinds, others: Kinds) -> list[list[Hashable]]:
    """Of each other kind that rows of several kinds have, these kinds."""
    first: dict[Hashable, Hashable] = {}
    links: dict[Hashable, dict[Hashable, None]] = {}
    for kind, other in zip(kinds, others, strict=True):
        if (known := first.setdefault(other, kind)) != kind:
            links.setdefault(other, {known: None})[kind] = None
    return [list(own) for own in links.values()]


def _joined(
    kinds: Kinds, links: Sequence[Sequence[Hashable]], held: dict[Hashable, Counts] | None, most: Mapping[str, float]
) -> Kinds:
    above: dict[Hashable, Hashable] = {}

    def top(kind: Hashable) -> Hashable:
        while (upper := above.get(kind, kind)) != kind:
            above[kind] = kind = above.get(upper, upper)
        return kind

    for linked in links:
        first, *rest = dict.fromkeys(map(top, linked))
        if held is not None and rest:
            together = sum((held[kind] for kind in rest), held[first])
            if any(count > most[label] for label, count in together.items() if label):
                continue
            held[first] = together
        above.update(dict.fromkeys(rest, first))
    return [top(kind) for kind in kinds]
