"""Each hyperparameter at its bounds and beyond them."""

from typing import Any

BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {  # accepted, refused
    "batch_size": ([1, 1024], [0, 1025, 10**6, 10**30, 1.5, 16.0, "16", True]),
    "learning_rate": ([1e-9, 1, 1.0], [0, -1e-5, 1.1, 1e300, "3e-5", "NaN", True]),
    "num_epochs": ([1, 1000], [0, 1001, 10**9, "3"]),
    "warmup_ratio": ([0, 1], [-0.1, 1.1]),
    "weight_decay": ([0, 1], [-0.1, 1.1]),
    "max_length": ([8, 512], [7, 513, 10**6]),
    "max_grad_norm": ([0.1, 1000], [0, 1001]),
    "optimizer": (["sam", "asam", "adamw"], ["SAM", "sgd", 1, ["sam"]]),
    "rho": ([0, 10], [-0.1, 10.1, []]),
    "sam_start": ([0, 1], [-0.1, 1.1]),
    "ema_decay": ([0, 0.999], [-0.1, 1]),
    "fine_tuned_share": ([0.01, 1], [0, 1.1]),
    "frozen_share": ([0, 0.99], [-0.1, 1]),
    "head_rows": (["train", "train_and_val"], ["val", True]),
    "class_weight": (["balanced", "none"], ["Balanced", 1]),
    "seed": ([0, 2**32 - 1], [-1, 2**32, 0.5]),
    "repeats": ([1, 10], [0, 11, "3", 2.0]),
    "patience": ([1, 1000], [0, 1001, "3", 2.0]),
}
# What no hyperparameter may be, and what is no JSON.
OF_NO_FIELD: list[Any] = ["Auto", {}]
NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999"]


def refused(name: str) -> list[Any]:
    return [*BOUNDS[name][1], *OF_NO_FIELD]
