"""How far probabilities are from what they say.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

import numpy as np
from numpy.typing import NDArray

from service.jobs.report import CalibrationError, GivenCalibration, Interval, ReliabilityBin
from service.store.records import Task
from worker.evaluation.intervals import Bootstrap
from worker.evaluation.metrics import Binary, Floats, decide

BINS = 15
NOISE_DRAWS, LEAST_NOISE_DRAWS = 200, 20
CLAIMS_AT_MOST = 20_000_000  # drawn for the noise of one ECE: a quarter of a second


def calibration_error(probabilities: Floats, truth: Binary, predicted: Binary, task: Task) -> CalibrationError:
    """ECE and Brier score of probabilities of shape (rows, labels); `predicted`: the labels that were given."""
    squared = (probabilities - truth) ** 2
    brier = squared.sum(axis=1) if task == "choosing" else squared.mean(axis=1)
    all_of_them = np.ones_like(truth, dtype=bool) if task == "deciding" else _largest(probabilities)
    ece = _ece(probabilities, truth, all_of_them)
    return CalibrationError(
        ece=ece.value,
        brier=float(brier.mean()),
        intervals={"ece": ece, "brier": Bootstrap(len(truth)).mean(brier)},
        bins=reliability_bins(probabilities[all_of_them], truth[all_of_them].astype(np.float64)),
        ece_if_calibrated=noise_of_ece(probabilities[all_of_them]),
        given=_of_given(probabilities, truth, predicted == 1) if task == "deciding" else None,
    )


def _of_given(probabilities: Floats, truth: Binary, given: NDArray[np.bool_]) -> GivenCalibration | None:
    if not given.any():
        return None
    return GivenCalibration(
        claims=int(given.sum()),
        ece=_ece(probabilities, truth, given),
        ece_if_calibrated=noise_of_ece(probabilities[given]),
    )


def _ece(probabilities: Floats, truth: Binary, claimed: NDArray[np.bool_]) -> Interval:
    """Over the claims among the cells, all of shape (rows, labels)."""
    rows = len(truth)
    row, _ = np.nonzero(claimed)
    said = probabilities[claimed]
    cells = np.bincount(row * BINS + _bin_of(said), weights=said - truth[claimed], minlength=rows * BINS)
    excess, claims = cells.reshape(rows, BINS), claimed.sum(axis=1)

    def ece(weights: Floats) -> Floats:
        count = weights @ claims
        total = np.abs(weights @ excess).sum(axis=1)
        return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))

    value = float(ece(np.ones((1, rows)))[0])
    # Noise alone makes it larger: draws lie above it much as it lies above the truth. So they are mirrored at it (the
    # basic bootstrap); plain percentiles of an honest model's never held the truth in 300 tries.
    bootstrap = Bootstrap(rows)
    return bootstrap.interval(value, np.maximum(0.0, 2 * value - bootstrap.over(ece)))


def noise_of_ece(said: Floats, seed: int = 0) -> float:
    """The mean ECE of claims that come true just as often as they say, shape (claims,): what so few show of a model
    without fault (the consistency resampling of Bröcker and Smith 2007)."""
    generator, place = np.random.default_rng(seed), _bin_of(said)

    def ece() -> float:
        excess = said - (generator.random(len(said)) < said)
        return float(np.abs(np.bincount(place, weights=excess, minlength=BINS)).sum() / len(said))

    draws = max(LEAST_NOISE_DRAWS, min(NOISE_DRAWS, CLAIMS_AT_MOST // len(said)))
    return float(np.mean([ece() for _ in range(draws)]))


def _largest(probabilities: Floats) -> NDArray[np.bool_]:
    """Of each row."""
    return np.asarray(decide(probabilities, "choosing") == 1)


def reliability_bins(said: Floats, came_true: Floats) -> list[ReliabilityBin]:
    """Equal bins over [0, 1] that have any claims in them, from probabilities and 0/1 outcomes of shape (claims,)."""
    place = _bin_of(said)
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int((place == number).sum()),
            mean_probability=float(said[place == number].mean()),
            share_true=float(came_true[place == number].mean()),
        )
        for number in range(BINS)
        if (place == number).any()
    ]


def _bin_of(said: Floats) -> NDArray[np.int64]:
    return np.minimum((said * BINS).astype(np.int64), BINS - 1)
