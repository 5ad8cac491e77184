"""Finding texts that say the same but for punctuation, a number, a link, a name, a typo or an added word.

Texts are compared by their letters alone, so it does not matter whether a language puts spaces between words. Trigrams
of letters find the few candidates, the longest common subsequence of letters decides. On fourteen real sets what passes
read as one text written twice, but for a few pairs where the one word that differs matters ("a virtual card", "a non
virtual card"); only a reader could tell those.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor
from typing import Any

from service.datasets.dataset import folded, wide_letters

MOST_TEXTS = 20_000  # all are compared with all of like length: 16 s on a busy core, 30 s where all follow one template
MOST_LETTERS = 10_000_000  # 11 s where texts are long and of few words
LONGEST = 2000  # letters compared: what repeats the part that a model reads, about 512 tokens, repeats the text
ALIKE = 0.92  # of the letters of both texts are common to both; below it, other words begin to be what differs
SHORTEST = ALIKE / (2 - ALIKE)  # of the longer text's letters: of two that are alike the shorter has so many
LIKELY = 0.6  # cosine of trigrams; halving it, and trying fifty for one text, found 389 on the real sets instead of 388
ENOUGH = 20  # letters: in shorter texts one letter may be all the difference ("good day", "good dad")
ENOUGH_IF_EQUAL = 12  # letters, where they are all equal
TRIED = 3  # candidates looked at for one text
BLOCK = 4_000_000  # cells of the product of trigrams that are in memory at once

_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|@[a-z0-9_]+")  # ASCII alone: what follows may be joined to it
_STRETCHED = re.compile(r"(.)\1{2,}")


class _Letters(dict[int, str | None]):
    """For `str.translate`: keeps letters and the marks that belong to them (vowels, in Thai and Hindi)."""

    def __missing__(self, code: int) -> str | None:
        kept = self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LM" else None
        return kept


_LETTERS = _Letters()


def letters_of(text: str) -> str:
    """What is compared: the letters, folded in case and Unicode form, without links, @mentions, 'soooo' stretches."""
    alike = unicodedata.normalize("NFKC", text[: 3 * LONGEST]).casefold()
    return _STRETCHED.sub(r"\1\1", _ADDRESS.sub(" ", alike).translate(_LETTERS))[:LONGEST]


def near_duplicates(later: Sequence[str], earlier: Sequence[str], *, thorough: bool) -> dict[int, int]:
    """For each text of `later` that an earlier one nearly repeats: index in `later` → index in `earlier`.

    Exact duplicates are found too. Where not `thorough`, in linear time, only those whose letters are all equal.
    """
    later, earlier = [letters_of(text) for text in later], [letters_of(text) for text in earlier]
    first = {letters: index for index, letters in reversed(list(enumerate(earlier)))}
    found = {
        index: first[letters]
        for index, letters in enumerate(later)
        if letters in first and _weight(letters) >= ENOUGH_IF_EQUAL
    }
    if thorough:
        asked = [index for index, letters in enumerate(later) if index not in found and _weight(letters) >= ENOUGH]
        known = [index for index in first.values() if _weight(earlier[index]) >= ENOUGH]
        for row, candidates in _candidates([later[index] for index in asked], [earlier[index] for index in known]):
            text = later[asked[row]]
            twin = next((known[place] for place in candidates if _alike(text, earlier[known[place]])), None)
            if twin is not None:
                found[asked[row]] = twin
    return dict(sorted(found.items()))


def near_kinds(texts: Sequence[str], *, thorough: bool) -> list[int]:
    """For each text the number of its kind: of one are those that repeat or nearly repeat each other, directly or over
    others. Where not `thorough`, in linear time, texts nearly repeat others only if all letters are equal."""
    kinds = list(range(len(texts)))

    def kind_of(index: int) -> int:
        while kinds[index] != index:
            kinds[index] = index = kinds[kinds[index]]
        return index

    exact = {folded(text): index for index, text in reversed(list(enumerate(texts)))}
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if (twin := exact[folded(text)]) != index:
            kinds[index] = twin
        elif _weight(letters := letters_of(text)) >= ENOUGH_IF_EQUAL:
            kinds[index] = first.setdefault(letters, index)
    if thorough:
        known = [(letters, index) for letters, index in first.items() if _weight(letters) >= ENOUGH]
        for row, candidates in _candidates_within([letters for letters, _ in known]):
            letters, index = known[row]
            for other_letters, other in (known[candidate] for candidate in candidates):
                one, two = kind_of(index), kind_of(other)
                if one != two and _alike(letters, other_letters):
                    kinds[max(one, two)] = min(one, two)
    return [kind_of(index) for index in range(len(texts))]


def too_many(texts: Sequence[str], most_texts: int = MOST_TEXTS) -> bool:
    """Whether a thorough search among these would take too long."""
    return len(texts) > most_texts or sum(min(len(text), LONGEST) for text in texts) > MOST_LETTERS


class _ByLength:
    """Texts in order of length, with their trigrams: those of very unequal length are not alike, so not compared."""

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer  # not at the top: the service starts without it

        self.order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        self.lengths = [len(texts[index]) for index in self.order]
        vectorizer = HashingVectorizer(
            analyzer="char", ngram_range=(3, 3), lowercase=False, alternate_sign=False, dtype="float32"
        )
        self.trigrams = vectorizer.transform(texts[index] for index in self.order)

    def blocks(self, others: int) -> Iterator[tuple[int, int, int, int]]:
        """Where each begins and ends, to be compared with some of so many others; how short and how long they are."""
        height = max(1, BLOCK // others)
        for start in range(0, len(self.order), height):
            end = min(start + height, len(self.order))
            yield start, end, floor(self.lengths[start] * SHORTEST), ceil(self.lengths[end - 1] / SHORTEST)


def _candidates(later: Sequence[str], earlier: Sequence[str]) -> Iterator[tuple[int, Sequence[int]]]:
    """For each row of `later` the rows of `earlier` that share most trigrams with it, most alike first."""
    if not later or not earlier:
        return
    rows, columns = _ByLength(later), _ByLength(earlier)
    for start, end, shortest, longest in rows.blocks(len(earlier)):
        low, high = bisect_left(columns.lengths, shortest), bisect_right(columns.lengths, longest)
        product = rows.trigrams[start:end] @ columns.trigrams[low:high].T
        for row, best in enumerate(_best_columns(product), start):
            yield rows.order[row], [columns.order[low + column] for column in best]


def _candidates_within(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[int]]]:
    """For each text some of the others that share most trigrams with it; each two texts are compared once."""
    if not texts:
        return
    from scipy.sparse import triu

    rows = _ByLength(texts)
    for start, end, _, longest in rows.blocks(len(texts)):
        high = bisect_right(rows.lengths, longest)
        product = triu(rows.trigrams[start:end] @ rows.trigrams[start:high].T, k=1, format="csr")
        for row, best in enumerate(_best_columns(product), start):
            yield rows.order[row], [rows.order[start + column] for column in best]


def _best_columns(product: Any) -> Iterator[Sequence[int]]:
    """Of each row of a sparse matrix the columns of its few largest cosines."""
    for low, high in pairwise(product.indptr):
        cosines = product.data[low:high]
        likely = (cosines >= LIKELY).nonzero()[0]
        best = likely[(-cosines[likely]).argsort(kind="stable")[:TRIED]]
        yield product.indices[low:high][best].tolist()


def _alike(one: str, other: str) -> bool:
    return 2 * common_letters(one, other) >= ALIKE * (len(one) + len(other))


def common_letters(one: str, other: str) -> int:
    """Length of the longest common subsequence.

    A row of the table is one integer, so a step costs one addition. Source: Hyyrö 2004, "Bit-Parallel
    LCS-length Computation Revisited".
    """
    places: dict[str, int] = {}
    for place, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << place
    full = (1 << len(one)) - 1
    row = full
    for letter in other:
        matches = row & places.get(letter, 0)
        row = (row + matches | row - matches) & full
    return len(one) - row.bit_count()


def _weight(letters: str) -> int:
    """Number of letters, where a Chinese, Japanese or Korean one says as much as two."""
    return len(letters) + wide_letters(letters)
