"""The test result again, without the rows that were seen before."""

from collections.abc import Sequence

import numpy as np

from service.jobs.report import WithoutLeaks
from worker.evaluation.intervals import accuracy_interval, macro_f1_interval
from worker.evaluation.metrics import Binary, present_labels


def measure_without_leaks(leaked: Sequence[int], truth: Binary, predicted: Binary) -> WithoutLeaks | None:
    """None where nothing leaked, or nothing is left."""
    kept = np.setdiff1d(np.arange(len(truth)), leaked)
    if not leaked or not len(kept):
        return None
    truth, predicted = truth[kept], predicted[kept]
    present = present_labels(truth)  # a label may have gone with the leaked rows
    return WithoutLeaks(
        leaked_rows=len(leaked),
        rows=len(kept),
        accuracy=accuracy_interval(truth, predicted),
        macro_f1=macro_f1_interval(truth[:, present], predicted[:, present]),
    )
