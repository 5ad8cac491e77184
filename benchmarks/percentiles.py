"""What benchmarks say of many times."""

import math
from collections.abc import Sequence


def percentile(times: Sequence[float], share: float) -> float:
    """The smallest of the times that at least this share of them does not exceed ("nearest rank")."""
    if not times:
        raise ValueError("no times")
    return sorted(times)[max(1, math.ceil(share * len(times))) - 1]
