"""The test result again, without the rows that were seen before."""

from collections.abc import Sequence

import numpy as np

from service.jobs.report import WithoutLeaks
from worker.evaluation.intervals import Bootstrap, macro_f1_draws, wilson
from worker.evaluation.metrics import Binary, macro_f1, right_rows


def measure_without_leaks(leaked: Sequence[int], truth: Binary, predicted: Binary) -> WithoutLeaks | None:
    """None where nothing leaked, or nothing is left."""
    kept = np.setdiff1d(np.arange(len(truth)), leaked)
    if not leaked or not len(kept):
        return None
    truth, predicted = truth[kept], predicted[kept]
    bootstrap = Bootstrap(len(kept))
    draws = bootstrap.over(lambda weights: macro_f1_draws(weights, truth, predicted))
    return WithoutLeaks(
        leaked_rows=len(leaked),
        rows=len(kept),
        accuracy=wilson(int(right_rows(truth, predicted).sum()), len(kept)),
        macro_f1=bootstrap.interval(macro_f1(truth, predicted), draws),
    )
