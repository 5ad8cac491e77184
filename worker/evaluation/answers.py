"""What a classifier says of the test split, from logits to labels, as `/predict` would."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.inference.classifier import Classifier
from service.inference.predictions import Encoding, Scores, read_predictions
from worker.evaluation.metrics import Binary, Floats, to_matrix
from worker.evaluation.scaling import activate


@dataclass(frozen=True, slots=True)
class Answers:
    """To `rows`. `logits`, `scores` (probabilities) and `predicted` (0/1) are of shape (rows, labels)."""

    rows: Sequence[Encoding]
    logits: Scores
    scores: Floats
    predicted: Binary


def answer(classifier: Classifier, rows: Sequence[Encoding], max_tokens: int) -> Answers:
    card = classifier.card
    logits = classifier.logits(rows, max_tokens)
    scores = activate(logits, card.task)
    predictions = read_predictions(scores.astype(np.float32), rows, card, top_k=1)  # the labels are what is asked for
    predicted = to_matrix([prediction.labels for prediction in predictions], card.labels)
    return Answers(rows, logits, scores, predicted)
