"""The splits that were not sent are cut from train, or its owner is told why they cannot be."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.datasets.complaints import Complaints, counted
from service.datasets.dataset import SPLITS, Example, folded
from service.datasets.groups import FIELD, groups_of
from service.datasets.kinds import Kinds
from service.datasets.near_duplicates import near_kinds, too_many
from service.datasets.splitting import cut_rows

DEFAULT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Cut:
    """How missing splits are cut from train: shares of its rows. None: the default of 0.2. `group`: the column whose
    equal values stay in one split."""

    val: float | None = None
    test: float | None = None
    seed: int = 0
    group: str | None = None


def cut_missing(
    splits: Mapping[str, list[Example]], cut: Cut, sent: Collection[str], complaints: Complaints
) -> dict[str, list[Example]]:
    """All three splits. `sent`: which were; others that are there are from a column. Raises: DatasetInvalid."""
    asked = {"val": cut.val, "test": cut.test}
    for name, share in asked.items():
        if share is not None and name in splits:
            why = "was sent" if name in sent else "is filled by the column split of train"
            complaints.add(f"{why}, so it cannot be cut from train; leave out split.{name}", split=name)
    missing = {name: share or DEFAULT_SHARE for name, share in asked.items() if name not in splits}
    if missing and not complaints.count:
        shares = {"train": 1 - sum(missing.values()), **missing}
        splits = {**splits, **_cut(splits["train"], shares, cut, complaints)}
    complaints.raise_if_any()
    return {name: splits[name] for name in SPLITS}


def _cut(
    rows: Sequence[Example], shares: Mapping[str, float], cut: Cut, complaints: Complaints
) -> dict[str, list[Example]]:
    groups = None if cut.group is None else groups_of(rows, cut.group)
    if groups is not None and (found := len(set(groups))) < len(shares):
        message = (
            f"has {counted(found, 'different value')} in train, and its rows stay in one split, so there must be "
            f"{len(shares)} or more; add rows of others, send val and test yourself, or leave out split.group"
        )
        complaints.add(message, split="train", field=FIELD)
        return {}
    texts = [row.text for row in rows]  # one in two splits, or nearly, would flatter the model
    near, equal = near_kinds(texts, thorough=not too_many(texts)), list(map(folded, texts))
    names = cut_rows([row.labels for row in rows], shares, cut.seed, near, equal, groups)
    parts = {name: [row for row, own in zip(rows, names, strict=True) if own == name] for name in shares}
    for name in parts:
        if not parts[name]:
            complaints.add(_why_none_was_cut(name, shares[name], rows, groups), split=name)
    return parts


def _why_none_was_cut(name: str, share: float, rows: Sequence[Example], groups: Kinds | None) -> str:
    """Where there are rows enough, the only example of a label stays in train: what is not there cannot be learnt. So
    does the only group with examples of it."""
    kinds = range(len(rows)) if groups is None else groups
    held = {(label, kind) for row, kind in zip(rows, kinds, strict=True) for label in row.labels}
    examples = Counter(label for label, _ in held)
    alone = sum(count == 1 for count in examples.values())
    few = f"{alone} of {counted(len(examples), 'label')} have"
    if groups is not None:
        why = f" ({few} examples in one group alone)" if alone else ""
        left = f"no group is left for {name}, because train needs examples of each label{why}"
        return f"{left}; add rows of other groups, or send {name} yourself"
    if alone and share * len(rows) >= 1:
        why = f"{few} one example, which train needs, so none is left to cut {name} from"
        return f"{why}; add examples of each label, merge labels, or send {name} yourself"
    return f"train is too small to cut {name} from it; add rows or send {name} yourself"
