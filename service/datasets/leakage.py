"""Rows whose text an earlier split has too, or nearly: results on them flatter the model."""

from dataclasses import dataclass

from service.datasets.complaints import counted, warning
from service.datasets.dataset import SPLITS, Dataset, Place, folded
from service.datasets.near_duplicates import MOST_TEXTS, near_duplicates, too_many
from service.store.records import Json


@dataclass(frozen=True, slots=True)
class Leaks:
    """Each place in val or test → the place in an earlier split that has the same text, or nearly the same."""

    exact: dict[Place, Place]
    near: dict[Place, Place]
    thorough: bool  # whether near duplicates that differ in letters were searched for too


def find_leaks(dataset: Dataset, most_texts: int = MOST_TEXTS) -> Leaks:
    """Val is compared with train, test with both. A row is an exact leak or a near one, not both."""
    places = [(split, row) for split in SPLITS for row in range(len(dataset.splits[split]))]
    texts = [row.text for split in SPLITS for row in dataset.splits[split]]
    leaks = Leaks({}, {}, not too_many(texts, most_texts))
    start = len(dataset.splits["train"])
    for split in SPLITS[1:]:
        end = start + len(dataset.splits[split])
        first = {folded(text): index for index, text in reversed(list(enumerate(texts[:start])))}
        twins = {index: first.get(folded(texts[index])) for index in range(start, end)}
        leaks.exact.update({places[index]: places[twin] for index, twin in twins.items() if twin is not None})
        rest = [index for index, twin in twins.items() if twin is None]
        near = near_duplicates([texts[index] for index in rest], texts[:start], thorough=leaks.thorough)
        leaks.near.update({places[rest[index]]: places[twin] for index, twin in near.items()})
        start = end
    return leaks


def leaked_rows(dataset: Dataset) -> list[int]:
    """Rows of test, in order, whose text train or val has too, exactly or nearly.

    Of a data set too large to be searched (a warning says so), near duplicates are those with all letters equal.
    """
    leaks = find_leaks(dataset)
    return sorted(row for split, row in leaks.exact | leaks.near if split == "test")


def leakage_warnings(dataset: Dataset, most_texts: int = MOST_TEXTS) -> list[Json]:
    """`leakage`, `near_leakage` and `near_duplicates_not_searched`."""
    leaks = find_leaks(dataset, most_texts)
    found = []
    where = "of val and test found in an earlier split"
    advice = "so results look too good; remove these rows"
    if leaks.exact:
        message = f"{counted(len(leaks.exact), 'text')} {where} too, {advice}"
        found.append(warning("leakage", message, [dataset.place(*leak) for leak in leaks.exact]))
    if leaks.near:
        (split, row), (earlier, twin) = (dataset.place(*place) for place in next(iter(leaks.near.items())))
        example = f"row {row} of {split} as row {twin} of {earlier}"
        message = f"{counted(len(leaks.near), 'text')} {where} with small changes ({example}), {advice}"
        found.append(warning("near_leakage", message, [dataset.place(*leak) for leak in leaks.near]))
    if not leaks.thorough:
        message = (
            "the data set is too large to search val and test for all near duplicates of earlier texts; only those "
            "that differ in case, punctuation, numbers and links were looked for, so check how the splits were made"
        )
        found.append(warning("near_duplicates_not_searched", message))
    return found
