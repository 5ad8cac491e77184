"""Warnings about how long texts are."""

from collections.abc import Mapping, Sequence
from statistics import median

from service.datasets.complaints import counted, warning
from service.datasets.dataset import SPLITS, Dataset, wide_letters
from service.store.records import Json

UNEQUAL = 3  # times as long, by the median, which a few odd texts do not move
ENOUGH = 20  # texts, for a median that says something
LONG = 2000  # characters, about 512 tokens of English
WIDE = 2.5  # a Chinese, Japanese or Korean one weighs as so many: XLM-RoBERTa has a token for 1.6 to 2.1, here for 4.8


def length_warnings(dataset: Dataset) -> list[Json]:
    """`unequal_lengths` and `truncation`."""
    return [*_unequal_splits(dataset), *_unequal_labels(dataset), *_long_texts(dataset)]


def _unequal_splits(dataset: Dataset) -> list[Json]:
    lengths = {split: [len(row.text) for row in dataset.splits[split]] for split in SPLITS}
    if not (words := _extremes(lengths)):
        return []
    message = f"texts of {words}, so results may not hold for both kinds of text; cut the splits from the same texts"
    return [warning("unequal_lengths", message)]


def _unequal_labels(dataset: Dataset) -> list[Json]:
    lengths: dict[str, list[int]] = {repr(label): [] for label in dataset.labels}
    for row in dataset.splits["train"]:
        for label in row.labels:
            lengths[repr(label)].append(len(row.text))
    if not (words := _extremes(lengths)):
        return []
    message = f"texts labelled {words}, so a model may go by length alone; add texts of other lengths to both labels"
    return [warning("unequal_lengths", message)]


def _extremes(lengths: Mapping[str, Sequence[int]]) -> str | None:
    """The longest and the shortest kind of text in words, if they are very unequal."""
    medians = {name: median(values) for name, values in lengths.items() if len(values) >= ENOUGH}
    if not medians:
        return None
    longest, shortest = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
    if medians[longest] <= UNEQUAL * medians[shortest]:
        return None
    figures = f"{medians[longest]:.0f} and {medians[shortest]:.0f} characters"
    return f"{longest} are much longer than those of {shortest} (medians: {figures})"


def _long_texts(dataset: Dataset) -> list[Json]:
    """An estimate: only a tokenizer counts tokens, and which one it will be is the job's choice."""
    rows = [(split, row) for split in SPLITS for row, own in enumerate(dataset.splits[split]) if _is_long(own.text)]
    if not rows:
        return []
    share = len(rows) / sum(map(len, dataset.splits.values()))
    kind = f"of more than {LONG} characters, by estimate 512 tokens (Chinese, Japanese, Korean: {LONG / WIDE:.0f})"
    message = f"{counted(len(rows), 'text')} ({share:.1%}) {kind}, so they may be cut at max_length"
    places = [dataset.place(*row) for row in rows]
    return [warning("truncation", f"{message}; split them, or put first what decides the label", places)]


def _is_long(text: str) -> bool:
    if len(text) > LONG or len(text) * WIDE <= LONG or text.isascii():
        return len(text) > LONG
    return len(text) + (WIDE - 1) * wide_letters(text) > LONG
