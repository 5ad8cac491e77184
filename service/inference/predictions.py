"""From probabilities to named labels. No torch here, so that the service starts without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.models.finished import ModelCard

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of one text, special tokens included; `truncated` when the text went on."""

    ids: list[int]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """One text's answer. `label`: the most probable for choosing, None for deciding."""

    label: str | None
    labels: list[str]
    scores: dict[str, float]
    tokens: int
    truncated: bool


def read_predictions(
    scores: Scores, rows: Sequence[Encoding], card: ModelCard, threshold: float | None = None, top_k: int | None = None
) -> list[Prediction]:
    """Names the labels behind probabilities of shape (rows, labels).

    Args:
        threshold: for deciding, the probability from which a label holds; default: each label's own.
        top_k: keep only so many scores, the largest; the labels are decided before.
    """
    bars = card.thresholds if threshold is None else [threshold] * len(card.labels)
    return [_read_row(row.tolist(), encoding, card, bars, top_k) for row, encoding in zip(scores, rows, strict=True)]


def rank(labels: Sequence[str], row: Sequence[float]) -> list[tuple[str, float]]:
    """Each label with its score, the largest first."""
    return sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])


def _read_row(
    row: list[float], encoding: Encoding, card: ModelCard, bars: Sequence[float], top_k: int | None
) -> Prediction:
    ranked = rank(card.labels, row)
    label = ranked[0][0] if card.task == "choosing" else None
    if label is not None:
        labels = [label]
    else:
        labels = [name for name, score, bar in zip(card.labels, row, bars, strict=True) if score >= bar]
    return Prediction(label, labels, dict(ranked[:top_k]), len(encoding.ids), encoding.truncated)
