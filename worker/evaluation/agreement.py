"""Agreement beyond what chance alone would bring: Cohen 1960, "A Coefficient of Agreement for Nominal Scales"."""

from collections.abc import Callable

import numpy as np

from service.jobs.report import Interval
from worker.evaluation.intervals import Bootstrap, wilson
from worker.evaluation.metrics import Binary, Floats

Agreements = Callable[[Floats], tuple[Floats, Floats]]  # observed and by chance, of weights of shape (draws, rows)


def kappa_of_choosing(truth: Binary, predicted: Binary) -> Interval | None:
    """From labels of shape (rows, labels), one a row. None where both are one label throughout: chance explains all."""
    rows = len(truth)

    def agreements(weights: Floats) -> tuple[Floats, Floats]:
        by_chance = ((weights @ truth) * (weights @ predicted)).sum(axis=1, keepdims=True) / rows**2
        return weights @ (truth * predicted).sum(axis=1, keepdims=True) / rows, by_chance

    return _kappas(agreements, rows)[0]


def kappas_of_labels(truth: Binary, predicted: Binary) -> list[Interval | None]:
    """Of each label's yes or no. None for one that no row, or each, both has and was given."""
    rows = len(truth)

    def agreements(weights: Floats) -> tuple[Floats, Floats]:
        having, given = weights @ truth, weights @ predicted
        return weights @ (truth == predicted) / rows, (having * given + (rows - having) * (rows - given)) / rows**2

    return _kappas(agreements, rows)


def _kappas(agreements: Agreements, rows: int) -> list[Interval | None]:
    """Where all draws agree, from the least and the most that may be right (Wilson's interval)."""
    bootstrap = Bootstrap(rows)
    draws = bootstrap.over(lambda weights: _beyond_chance(*agreements(weights)))
    observed, by_chance = (own[0] for own in agreements(np.ones((1, rows))))
    values = _beyond_chance(observed, by_chance)
    found: list[Interval | None] = []
    for number, value in enumerate(values.tolist()):
        share = wilson(float(observed[number]) * rows, rows)
        low, high = _beyond_chance(np.array([share.low, share.high]), np.repeat(by_chance[number], 2)).tolist()
        bounds = max(-1.0, low), min(1.0, high)
        found.append(None if np.isnan(value) else bootstrap.interval(value, draws[:, number], bounds))
    return found


def _beyond_chance(observed: Floats, by_chance: Floats) -> Floats:
    """NaN where chance explains all. Written out, for scikit-learn takes one draw at a time; the tests compare."""
    left = 1 - by_chance
    nothing = np.full(observed.shape, np.nan)
    return np.asarray(np.divide(observed - by_chance, left, out=nothing, where=left > 1e-12))
