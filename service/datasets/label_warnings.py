"""Warnings about labels: what cannot be measured, cannot be learnt, or contradicts itself."""

import unicodedata
from collections.abc import Callable, Collection

from service.datasets.complaints import counted, listed, warning
from service.datasets.dataset import SPLITS, Dataset, Example, Place, count_labels, folded
from service.datasets.rows import SEPARATOR
from service.store.records import Json

FEW_CELLS = 0.1  # of all rows
MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "null", "-", ".")  # as programs write that there is no value, folded
FEW = 8  # examples in train; with fewer, what a label means is hardly learnt


def label_warnings(dataset: Dataset) -> list[Json]:
    """`task_inferred`, `missing_value_label`, `label_sets_differ`, `few_examples`, `joined_labels`,
    `similar_label_names` and `conflicting_labels`."""
    return [
        *_inferred_task(dataset),
        *_missing_values(dataset),
        *_missing_labels(dataset),
        *_rare_labels(dataset),
        *_joined_labels(dataset),
        *_similar_names(dataset.labels),
        *_conflicts(dataset),
    ]


def _places(dataset: Dataset, concerned: Callable[[Example], bool]) -> list[Place]:
    """Of all rows that a warning concerns, in any split."""
    rows = ((split, number, row) for split in SPLITS for number, row in enumerate(dataset.splits[split]))
    return [row.place(split, number) for split, number, row in rows if concerned(row)]


def _inferred_task(dataset: Dataset) -> list[Json]:
    """One where the cells that decided the task may be slips, being few, or not labelled yet, being empty all."""
    cells, rows = dataset.deciding_cells, sum(map(len, dataset.splits.values()))
    empty = set(_places(dataset, lambda row: not row.labels)) if cells else set()
    if empty and not _places(dataset, lambda row: len(row.labels) > 1):
        cells = [cell for cell in cells if cell in empty]
        message = (
            f"{counted(len(cells), 'label cell')} of {rows} without a label, and none with several: this was taken for "
            "a data set for deciding, and training will learn that no label applies to these rows; if they are not "
            "labelled yet, send unlabelled=skip to leave them out; if no label is meant, send task=deciding"
        )
    elif 0 < len(cells) < FEW_CELLS * rows:
        skip = "; unlabelled=skip leaves out those with none" if empty else ""
        message = (
            f"{counted(len(cells), 'label cell')} of {rows} with none or several labels made this a data set for "
            f"deciding; send task=choosing, or fill the cells{skip}; if they are meant so, send task=deciding"
        )
    else:
        return []
    return [warning("task_inferred", message, cells)]


def _missing_values(dataset: Dataset) -> list[Json]:
    """One that names every row with such a label. `none` is left out, unless written as Python writes it: there are
    classes of that name."""
    missing = {label for label in dataset.labels if label.casefold() in MISSING or label == "None"}
    if not missing:
        return []
    rows = _places(dataset, lambda row: not missing.isdisjoint(row.labels))
    message = (
        f"{listed(sorted(missing))} in {counted(len(rows), 'row')} is learnt as a label, and may be how a program says "
        "that there is none; if so, label these rows or remove them (where the task is deciding and no label applies, "
        "leave the cell empty, or the list)"
    )
    return [warning("missing_value_label", message, rows)]


def _missing_labels(dataset: Dataset) -> list[Json]:
    """One for each split that lacks labels of train: its figures will not cover them."""
    found = []
    for name in ("val", "test"):
        missing = [label for label, count in count_labels(dataset.splits[name], dataset.labels).items() if not count]
        if missing:
            message = f"{name} has no example of {listed(missing)}, so results there say nothing about it"
            found.append(warning("label_sets_differ", message))
    return found


def _rare_labels(dataset: Dataset) -> list[Json]:
    counts = count_labels(dataset.splits["train"], dataset.labels)
    rare = sorted((label for label, count in counts.items() if count < FEW), key=counts.__getitem__)
    if not rare:
        return []
    examples = f"fewer than {FEW} examples in train (the rarest, {rare[0]!r}, has {counts[rare[0]]})"
    message = f"{counted(len(rare), 'label')} with {examples}: {listed(rare)}; add examples, or merge or remove them"
    return [warning("few_examples", message)]


def _joined_labels(dataset: Dataset) -> list[Json]:
    """One that names every row with a label such as 'a;b' where 'a' and 'b' are labels too."""
    known = set(dataset.labels)
    joined = {label for label in known if any(_is_joined(label, mark, known) for mark in ";,")}
    if not joined:
        return []
    rows = _places(dataset, lambda row: not joined.isdisjoint(row.labels))
    found = f"{counted(len(joined), 'label')} made of others of the set, in {counted(len(rows), 'row')}"
    message = (
        f"{found}: {listed(sorted(joined))}; if several labels are meant, write {SEPARATOR} between them in tables, "
        "and lists of strings in JSON"
    )
    return [warning("joined_labels", message, rows)]


def _is_joined(label: str, mark: str, labels: Collection[str]) -> bool:
    parts = [part.strip() for part in label.split(mark) if part.strip()]
    return len(parts) > 1 and all(part in labels for part in parts)


def _similar_names(labels: list[str]) -> list[Json]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(_bare(label), []).append(label)
    similar = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not similar:
        return []
    shown = "; ".join(similar[:20]) + ("; …" if len(similar) > 20 else "")
    message = f"labels differ only by case, spaces, punctuation or Unicode form: {shown}; if they mean one, name it so"
    return [warning("similar_label_names", message)]


def _bare(label: str) -> str:
    """A label's name without what is easily written otherwise.

    Punctuation is all the difference between '+1' and '-1', so it counts where there are no letters.
    """
    folded_name = "".join(unicodedata.normalize("NFKC", label).casefold().split())
    if not any(letter.isalpha() for letter in folded_name):
        return folded_name
    return "".join(letter for letter in folded_name if unicodedata.category(letter)[0] not in "PZC")


def _conflicts(dataset: Dataset) -> list[Json]:
    """One that names every row whose text is there with other labels too, in any split."""
    seen: dict[str, set[frozenset[str]]] = {}
    for split in SPLITS:
        for row in dataset.splits[split]:
            seen.setdefault(folded(row.text), set()).add(frozenset(row.labels))
    texts = {text for text, label_sets in seen.items() if len(label_sets) > 1}
    if not texts:
        return []
    rows = _places(dataset, lambda row: folded(row.text) in texts)
    message = f"{counted(len(texts), 'text')} with more than one set of labels, in {len(rows)} rows"
    return [warning("conflicting_labels", f"{message}; decide on one and correct or remove the others", rows)]
