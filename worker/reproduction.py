"""Everything needed to run a job again."""

import hashlib
import platform
from importlib.metadata import version

from service.jobs.report import Reproduction
from worker.channel import Order

PACKAGES = ("classiglot", "torch", "transformers", "tokenizers", "scikit-learn", "numpy")


def reproduction(order: Order, device: str) -> Reproduction:
    return Reproduction(
        dataset_sha256=order.dataset_sha256,
        base_model=order.base_model,
        hyperparameters=order.hyperparameters.model_dump(),
        seed=order.hyperparameters.seed,
        device=device,
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


def fingerprint(order: Order) -> str:
    """The same for two attempts of one run, and for no other run."""
    asked = order.model_dump_json(include={"dataset_sha256", "labels", "base_model", "hyperparameters"})
    return hashlib.sha256(asked.encode()).hexdigest()
