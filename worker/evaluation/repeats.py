"""Mean and spread of a figure over seeds."""

from collections.abc import Sequence

import numpy as np

from service.jobs.report import Repeat, Repeats


def summarise(runs: Sequence[Repeat]) -> Repeats:
    """Of two runs or more; the first is the published one. Standard deviations are those of a sample (n - 1)."""
    macro_f1, accuracy = ([getattr(run, name) for run in runs] for name in ("macro_f1", "accuracy"))
    return Repeats(
        runs=list(runs),
        macro_f1_mean=float(np.mean(macro_f1)),
        macro_f1_sd=float(np.std(macro_f1, ddof=1)),
        accuracy_mean=float(np.mean(accuracy)),
        accuracy_sd=float(np.std(accuracy, ddof=1)),
    )
