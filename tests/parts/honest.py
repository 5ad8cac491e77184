"""A model without fault: what it says comes true just as often as it says."""

import numpy as np

from service.store.records import Task
from worker.evaluation.metrics import Binary, Floats
from worker.evaluation.scaling import activate


def honest(task: Task, rows: int, seed: int = 0) -> tuple[Floats, Binary]:
    """Logits, and labels drawn with just the probabilities that they stand for."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=1.5, size=(rows, 4))
    p = activate(logits, task)
    if task == "choosing":
        chosen = (p.cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
        return logits, np.eye(4, dtype=np.int64)[chosen]
    return logits, (generator.random(p.shape) < p).astype(np.int64)
