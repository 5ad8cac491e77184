"""Texts by their words and characters, weighted by TF-IDF, in no more memory than a run has left."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union

MOST_FEATURES = 100_000  # of words, and as many of characters: the most frequent ones
# Features times classes of one regression. L-BFGS keeps its last ten steps and gradients: about 25 float64 for each of
# them, 1 GB of so many. Five thousand long texts have a million features, and 77 labels asked for 15 GB of them.
MOST_WEIGHTS = 5_000_000
LONGEST = 10_000  # characters read of a text, thrice what a model reads; n-grams of one megabyte alone take a gigabyte


def tfidf_features(learnt: Sequence[str], splits: Mapping[str, Sequence[str]], classes: int) -> dict[str, csr_matrix]:
    """float32 of shape (rows, features) for each split; `learnt`: what chooses and weights the features. `classes`: of
    each regression that is to learn from them."""
    most = max(1, min(MOST_FEATURES, MOST_WEIGHTS // classes // 2))
    shared = {"sublinear_tf": True, "max_features": most, "dtype": np.float32}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)
    has_words = any(re.search(r"\w", text) for text in learnt)  # emoji have none, and scikit-learn fails without any
    vectors = make_union(words, characters) if has_words else characters
    vectors.fit([text[:LONGEST] for text in learnt])
    return {name: csr_matrix(vectors.transform([text[:LONGEST] for text in texts])) for name, texts in splits.items()}
