"""The whole state of a run on disk: weights, their average, moments, random state, history. Resumed, it ends bit for
bit alike on the processor it was written on. Safetensors and JSON only, so reading one cannot run code."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.errors import ClassiglotError, DiskFull
from service.logs import get_logger
from service.store.artifacts import ArtifactStore
from worker.training.loop import Progress, Trainer
from worker.training.randomness import RandomState, random_state, restore_random_state
from worker.training.sam import SAM

log = get_logger(__name__)
_WEIGHTS, _AVERAGE, _STATE = "weights.safetensors", "average.safetensors", "state.safetensors"
_PROGRESS = "progress.json"
KEEP = 2
REPEATS = "repeats"  # subfolder of the same job under other seeds
FULL_DISK_SECONDS = 300.0  # how long a full disk is waited for, in which nothing of the run is lost


class Checkpoints:
    """The checkpoints of one run, newest last. Names carry the attempt, so no attempt can meet another's."""

    def __init__(self, artifacts: ArtifactStore, run: str, attempt: int, fingerprint: str) -> None:
        """`run`: the job's id, or a folder in it. `fingerprint` stands for everything it was asked for; a checkpoint of
        another run is not taken up."""
        self._artifacts, self._run, self._attempt, self._fingerprint = artifacts, run, attempt, fingerprint

    def save(self, trainer: Trainer, progress: Progress) -> None:
        """Writes the state after `progress.step` steps, then drops older ones but for the best epoch's.

        Raises: DiskFull when that lasts; what was saved before stays whole.
        """
        name = f"{self._run}/{progress.step:09d}-{self._attempt}"
        if self._artifacts.path("checkpoints", name).exists():
            return  # stopped right after an epoch's own checkpoint
        deadline = time.monotonic() + FULL_DISK_SECONDS
        while True:
            try:
                self._write(name, trainer, progress)
            except DiskFull as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("checkpoint_waits_for_room", checkpoint=name, error=error.message)
                time.sleep(1)
            else:
                break
        self._drop_older(progress)

    def _write(self, name: str, trainer: Trainer, progress: Progress) -> None:
        with self._artifacts.writing("checkpoints", name) as folder:
            save_file(_numbered(trainer.average.parameters), folder / _WEIGHTS)
            save_file(_numbered(trainer.average.tensors), folder / _AVERAGE)
            save_file(_moments(trainer.optimizer) | _prefixed("random", random_state()), folder / _STATE)
            content = {"fingerprint": self._fingerprint, **asdict(progress)}
            (folder / _PROGRESS).write_text(json.dumps(content), encoding="utf-8")

    def resume(self, trainer: Trainer) -> Progress:
        """Puts the newest readable checkpoint into the trainer and the generators; a fresh start where none is."""
        for name in reversed(self._names()):
            try:
                return self._load(self._artifacts.open("checkpoints", f"{self._run}/{name}"), trainer)
            except (ClassiglotError, ValueError) as error:
                log.warning("checkpoint_skipped", checkpoint=name, error=str(error))
                self._artifacts.remove("checkpoints", f"{self._run}/{name}")  # else it counts among those to keep
        return Progress()

    def load_best(self, trainer: Trainer, progress: Progress) -> dict[str, Any]:
        """Puts the averaged weights of the epoch with the lowest validation loss into the model; returns its history
        entry."""
        best = best_epoch(progress)
        name = next(name for name in reversed(self._names()) if int(name.split("-")[0]) == best["step"])
        folder = self._artifacts.open("checkpoints", f"{self._run}/{name}")
        _fill(trainer.average.tensors, load_file(folder / _AVERAGE))
        trainer.candidate.put()
        return best

    def _load(self, folder: Path, trainer: Trainer) -> Progress:
        content = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        if content.pop("fingerprint") != self._fingerprint:
            raise ValueError("it belongs to a run with other settings or data")
        state = load_file(folder / _STATE)
        _fill(trainer.average.parameters, load_file(folder / _WEIGHTS))
        _fill(trainer.average.tensors, load_file(folder / _AVERAGE))
        _restore_moments(trainer.optimizer, state)
        restore_random_state(
            {name.removeprefix("random."): t for name, t in state.items() if name.startswith("random.")}
        )
        return Progress(**content)

    def _names(self) -> list[str]:
        folder = self._artifacts.path("checkpoints", self._run)
        return sorted(path.name for path in folder.iterdir() if path.name != REPEATS) if folder.is_dir() else []

    def _drop_older(self, progress: Progress) -> None:
        names = self._names()
        best = best_epoch(progress)["step"] if progress.history else None
        for name in names[:-KEEP]:
            if int(name.split("-")[0]) != best:
                self._artifacts.remove("checkpoints", f"{self._run}/{name}")


def best_epoch(progress: Progress) -> dict[str, Any]:
    """The first history entry with the lowest validation loss."""
    return min(progress.history, key=lambda entry: float(entry["val_loss"]))


def _numbered(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(number): tensor.detach().cpu().contiguous() for number, tensor in enumerate(tensors)}


@torch.no_grad()
def _fill(tensors: Sequence[Tensor], values: dict[str, Tensor]) -> None:
    """The inverse of `_numbered`, into tensors that are there already."""
    for number, tensor in enumerate(tensors):
        tensor.copy_(values[str(number)])


def _prefixed(prefix: str, tensors: RandomState) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _moments(optimizer: SAM) -> dict[str, Tensor]:
    """The base optimizer's state as tensors named `<parameter's number>.<name>`."""
    state = optimizer.base.state_dict()["state"]
    return {f"{number}.{key}": torch.as_tensor(v).cpu() for number, entry in state.items() for key, v in entry.items()}


def _restore_moments(optimizer: SAM, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        if number != "random":
            state.setdefault(int(number), {})[key] = tensor
    optimizer.base.load_state_dict({"state": state, "param_groups": optimizer.base.state_dict()["param_groups"]})
