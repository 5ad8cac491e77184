"""The whole state of a run on disk: weights, their average, moments, random state, history. Resumed, it ends bit for
bit alike on the processor it was written on. Safetensors and JSON only, so reading one cannot run code."""

import json
import time
from collections.abc import Callable, Sequence
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
_BEST = "best-"
KEEP = 2
REPEATS = "repeats"  # subfolder of the same job under other seeds
FULL_DISK_SECONDS = 300.0  # how long a full disk is waited for, in which nothing of the run is lost


class Checkpoints:
    """The checkpoints of one run, newest last, and beside them the averaged weights of its best epoch. Names carry the
    attempt, so no attempt can meet another's."""

    def __init__(self, artifacts: ArtifactStore, run: str, attempt: int, fingerprint: str, interval: float) -> None:
        """`run`: the job's id, or a folder in it. `fingerprint` stands for everything it was asked for; a checkpoint of
        another run is not taken up. `interval`: seconds after a checkpoint in which epochs get none."""
        self._artifacts, self._run, self._attempt, self._fingerprint = artifacts, run, attempt, fingerprint
        self._interval = interval
        self._last_step, self._last_time = 0, time.monotonic()

    def end_epoch(self, trainer: Trainer, progress: Progress) -> None:
        """Keeps the averaged weights where they are the best so far, and the whole state when it is time to.

        Raises: DiskFull when that lasts; what was saved before stays whole.
        """
        if progress.best["step"] == progress.step:
            self._patiently(self._name(progress, _BEST), lambda folder: _write_average(trainer, folder))
            for step, name in self._bests():
                if self._last_step < step < progress.step:
                    self._remove(name)  # of no checkpoint, and no longer the best
        if time.monotonic() - self._last_time >= self._interval:
            self.save(trainer, progress)

    def save(self, trainer: Trainer, progress: Progress) -> None:
        """Writes the state after `progress.step` steps, then drops what older ones alone needed. Raises: DiskFull."""
        name = self._name(progress)
        if self._artifacts.path("checkpoints", name).exists():
            return  # stopped right after an epoch's own checkpoint
        self._patiently(name, lambda folder: self._write(trainer, progress, folder))
        self._last_step, self._last_time = progress.step, time.monotonic()
        for old in self._names()[:-KEEP]:
            self._remove(old)
        for _, old in self._bests()[:-KEEP]:
            self._remove(old)

    def _patiently(self, name: str, write: Callable[[Path], None]) -> None:
        deadline = time.monotonic() + FULL_DISK_SECONDS
        while True:
            try:
                with self._artifacts.writing("checkpoints", name) as folder:
                    write(folder)
            except DiskFull as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("checkpoint_waits_for_room", checkpoint=name, error=error.message)
                time.sleep(1)
            else:
                break

    def _write(self, trainer: Trainer, progress: Progress, folder: Path) -> None:
        save_file(_numbered(trainer.average.parameters), folder / _WEIGHTS)
        _write_average(trainer, folder)
        save_file(_moments(trainer.optimizer) | _prefixed("random", random_state()), folder / _STATE)
        content = {"fingerprint": self._fingerprint, **asdict(progress)}
        (folder / _PROGRESS).write_text(json.dumps(content), encoding="utf-8")

    def resume(self, trainer: Trainer) -> Progress:
        """Puts the newest readable checkpoint into the trainer and the generators; a fresh start where none is."""
        progress = self._newest(trainer)
        self._last_step = progress.step
        for step, name in self._bests():
            if step > progress.step:
                self._remove(name)  # of epochs that are to be trained again
        return progress

    def _newest(self, trainer: Trainer) -> Progress:
        for name in reversed(self._names()):
            try:
                return self._load(self._artifacts.open("checkpoints", f"{self._run}/{name}"), trainer)
            except (ClassiglotError, ValueError) as error:
                log.warning("checkpoint_skipped", checkpoint=name, error=str(error))
                self._remove(name)  # else it counts among those to keep
        return Progress()

    def load_best(self, trainer: Trainer, progress: Progress) -> dict[str, Any]:
        """Puts the candidate of the epoch with the lowest validation loss into the model, but for the head that is
        fitted to it; returns its history entry."""
        best = progress.best
        folder = self._open_best(best)
        _fill(trainer.average.tensors, load_file(folder / _AVERAGE))
        trainer.candidate.put_weights()
        return best

    def _open_best(self, epoch: dict[str, Any]) -> Path:
        """Raises: ValueError, ArtifactCorrupt."""
        names = [name for step, name in self._bests() if step == epoch["step"]]
        if not names:
            raise ValueError("the weights of its best epoch are gone")
        return self._artifacts.open("checkpoints", f"{self._run}/{names[-1]}")

    def _load(self, folder: Path, trainer: Trainer) -> Progress:
        content = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        if content.pop("fingerprint") != self._fingerprint:
            raise ValueError("it belongs to a run with other settings or data")
        progress = Progress(**content)
        if progress.history:
            self._open_best(progress.best)
        state = load_file(folder / _STATE)
        _fill(trainer.average.parameters, load_file(folder / _WEIGHTS))
        _fill(trainer.average.tensors, load_file(folder / _AVERAGE))
        _restore_moments(trainer.optimizer, state)
        restore_random_state(
            {name.removeprefix("random."): t for name, t in state.items() if name.startswith("random.")}
        )
        return progress

    def _name(self, progress: Progress, prefix: str = "") -> str:
        return f"{self._run}/{prefix}{progress.step:09d}-{self._attempt}"

    def _names(self) -> list[str]:
        """Of whole states."""
        return [name for name in self._all() if not name.startswith(_BEST)]

    def _bests(self) -> list[tuple[int, str]]:
        """Of averaged weights alone, by the step that they were kept after."""
        return [(int(name.split("-")[1]), name) for name in self._all() if name.startswith(_BEST)]

    def _all(self) -> list[str]:
        folder = self._artifacts.path("checkpoints", self._run)
        return sorted(path.name for path in folder.iterdir() if path.name != REPEATS) if folder.is_dir() else []

    def _remove(self, name: str) -> None:
        self._artifacts.remove("checkpoints", f"{self._run}/{name}")


def _write_average(trainer: Trainer, folder: Path) -> None:
    save_file(_numbered(trainer.average.tensors), folder / _AVERAGE)


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
