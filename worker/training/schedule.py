"""The learning rate as a pure function of the step: no state that a resumed run could lose."""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up to `peak`, then half a cosine down to zero (Loshchilov and Hutter 2017, without restarts).

    Args:
        step: 0 for the first optimizer step; the rate it is taken with.
        warmup_steps: after so many steps the rate is `peak`.
        total_steps: at this step, which is never taken, the rate would be zero.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
