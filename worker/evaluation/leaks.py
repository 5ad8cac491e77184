"""The test result again, without the rows that were seen before."""

from collections.abc import Sequence

import numpy as np

from service.jobs.report import WithoutLeaks
from service.store.records import Task
from worker.evaluation.intervals import label_intervals
from worker.evaluation.metrics import Binary, present_labels


def measure_without_leaks(leaked: Sequence[int], truth: Binary, predicted: Binary, task: Task) -> WithoutLeaks | None:
    """None where nothing leaked; without figures where nothing is left. Macro-F1 is over the labels that are left."""
    if not leaked:
        return None
    kept = np.setdiff1d(np.arange(len(truth)), leaked)
    if not len(kept):
        return WithoutLeaks(leaked_rows=len(leaked), rows=0)
    left = present_labels(truth[kept])
    figures = label_intervals(truth[kept], predicted[kept], task, left)
    with_them = label_intervals(truth, predicted, task, left)["macro_f1"]
    return WithoutLeaks(leaked_rows=len(leaked), rows=len(kept), macro_f1_with=with_them, **figures)
