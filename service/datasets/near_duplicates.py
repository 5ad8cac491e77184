"""Finding texts that say the same but for punctuation, a number, a link, a name, a typo or an added word.

Texts are compared by their letters alone, so it does not matter whether a language puts spaces between words. Trigrams
of letters find the few candidates, the longest common subsequence of letters decides. On fourteen real sets what passes
read as one text written twice, but for a few pairs where the one word that differs matters ("a virtual card", "a non
virtual card"); only a reader could tell those.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

MOST_TEXTS = 20_000  # all are compared with all: there 2 s on one core, 10 s where all follow one template
MOST_LETTERS = 10_000_000  # 11 s where texts are long and of few words
LONGEST = 2000  # letters compared: what repeats the part that a model reads, about 512 tokens, repeats the text
ALIKE = 0.92  # of the letters of both texts are common to both; below it, other words begin to be what differs
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
    folded = unicodedata.normalize("NFKC", text[: 3 * LONGEST]).casefold()
    return _STRETCHED.sub(r"\1\1", _ADDRESS.sub(" ", folded).translate(_LETTERS))[:LONGEST]


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


def too_many(texts: Sequence[str], most_texts: int = MOST_TEXTS) -> bool:
    """Whether a thorough search among these would take too long."""
    return len(texts) > most_texts or sum(min(len(text), LONGEST) for text in texts) > MOST_LETTERS


def _candidates(later: Sequence[str], earlier: Sequence[str]) -> Iterator[tuple[int, Sequence[int]]]:
    """For each row of `later` the rows of `earlier` that share most trigrams with it, most alike first."""
    if not later or not earlier:
        return
    from sklearn.feature_extraction.text import HashingVectorizer  # not at the top: the service starts without it

    vectorizer = HashingVectorizer(
        analyzer="char", ngram_range=(3, 3), lowercase=False, alternate_sign=False, dtype="float32"
    )
    rows, columns = vectorizer.transform(later), vectorizer.transform(earlier).T.tocsr()
    height = max(1, BLOCK // len(earlier))
    for start in range(0, len(later), height):
        yield from enumerate(_best_columns(rows[start : start + height] @ columns), start)


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
    return len(letters) + sum(letter > "\u2e7f" and unicodedata.east_asian_width(letter) == "W" for letter in letters)
