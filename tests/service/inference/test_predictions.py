"""Names for probabilities."""

import tracemalloc

import numpy as np

from service.inference.predictions import Encoding, read_predictions
from service.models.finished import ModelCard


def test_many_labels_take_memory_for_the_scores_that_are_asked_for_alone() -> None:
    """As Python's own numbers, 2,000 rows of 1,000 labels are 64 MB; what is kept of each row here is its largest."""
    labels = [str(number) for number in range(1_000)]
    card = ModelCard("choosing", labels, 64, "x", "j", "s", [])
    scores = np.random.default_rng(0).random((2_000, 1_000), dtype=np.float32)
    rows = [Encoding([0, 5, 2], truncated=False)] * len(scores)
    tracemalloc.start()
    try:
        predictions = read_predictions(scores, rows, card, top_k=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [prediction.label for prediction in predictions] == [labels[place] for place in scores.argmax(axis=1)]
    assert all(len(prediction.scores) == 1 for prediction in predictions)
    assert peak < 5e6
