"""Everything needed to run a job again."""

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from service.jobs.report import Reproduction
from service.models.base_models import FILES, BaseCheckpoint
from worker.channel import Order

PACKAGES = ("classiglot", "torch", "transformers", "tokenizers", "scikit-learn", "numpy")

BLOCK, BLOCKS = 4096, 256  # of a file, spread over it


def reproduction(order: Order, base: BaseCheckpoint, device: str) -> Reproduction:
    """Reads all of the base model: 0.8 s for the 470 MB that a run has just read."""
    return Reproduction(
        dataset_sha256=order.dataset_sha256,
        base_model=order.base_model,
        base_model_sha256=checkpoint_sha256(base.folder),
        base_model_commit=hub_commit(base.folder),
        hyperparameters=order.hyperparameters.model_dump(),
        seed=order.hyperparameters.seed,
        device=device,
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


def fingerprint(order: Order, base: BaseCheckpoint) -> str:
    """The same for two attempts of one run, on whatever machine, and for no other run: not where other weights lie
    under the base model's name by now."""
    asked = order.model_dump_json(include={"dataset_sha256", "labels", "base_model", "hyperparameters"})
    return hashlib.sha256(f"{asked} {_sampled(base.folder)}".encode()).hexdigest()


def checkpoint_sha256(folder: Path) -> str:
    """What `sha256sum FILES… | sha256sum` says of its files in order of their names."""
    whole = hashlib.sha256()
    for path in _files(folder):
        with path.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n".encode())
    return whole.hexdigest()


def hub_commit(folder: Path) -> str | None:
    """Of a snapshot in the hub's cache, `…/snapshots/<commit>`."""
    return folder.name if folder.parent.name == "snapshots" else None


def _sampled(folder: Path) -> str:
    """Of a megabyte of each file: reading a whole base model would delay the first step by seconds. Not of times, which
    differ from machine to machine."""
    digest = hashlib.sha256()
    for path in _files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for start in range(0, size, max(BLOCK, size // BLOCKS)):
                file.seek(start)
                digest.update(file.read(BLOCK))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    names = {path.name for pattern in FILES for path in folder.glob(pattern)}
    yield from (folder / name for name in sorted(names) if (folder / name).is_file())
