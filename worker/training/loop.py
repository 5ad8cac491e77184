"""The training loop, one line for each step of the paper. It knows no Celery, no HTTP and no SQL."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from service.errors import TrainingFailed
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.jobs.spec import ResolvedHyperparameters
from worker.training.averaging import WeightAverage
from worker.training.batches import Batches
from worker.training.candidate import Candidate
from worker.training.gradients import Gradients
from worker.training.randomness import random_state, restore_random_state
from worker.training.sam import SAM
from worker.training.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class Plan:
    """How far and how fast; everything a step's learning rate depends on."""

    hyperparameters: ResolvedHyperparameters
    steps_per_epoch: int

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.hyperparameters.num_epochs

    @property
    def first_climb(self) -> int:
        """The step from which SAM climbs, before which the base optimizer is alone; 0 where it never does."""
        return math.ceil(self.hyperparameters.sam_start * self.total_steps) if self.hyperparameters.rho > 0 else 0

    def is_over(self, progress: "Progress") -> bool:
        """Whether all steps are made, or the validation loss has not fallen for `patience` epochs.

        Epochs before the first climb do not count: a run of SAM would end without one.
        """
        if progress.step >= self.total_steps:
            return True
        best = progress.best["epoch"] if progress.history else 0
        since = max(best, self.first_climb // self.steps_per_epoch)
        return len(progress.history) - since >= self.hyperparameters.patience

    def learning_rate(self, step: int) -> float:
        warmup = math.ceil(self.hyperparameters.warmup_ratio * self.total_steps)
        peak = self.hyperparameters.learning_rate
        return learning_rate(step, peak=peak, warmup_steps=warmup, total_steps=self.total_steps)


@dataclass(slots=True)
class Progress:
    """What is known after `step` optimizer steps. `losses`: sum over the steps of the epoch that is under way."""

    step: int = 0
    losses: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> dict[str, Any]:
        """The first history entry with the lowest validation loss; there must be one."""
        return min(self.history, key=lambda entry: float(entry["val_loss"]))


class Validate(Protocol):
    def __call__(self) -> dict[str, float]:
        """At least `val_loss` and `val_macro_f1` of the model as it is now: the candidate's weights are in it."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """The parts of one run, put together by `worker.run`."""

    model: TextClassifier
    optimizer: SAM
    average: WeightAverage
    candidate: Candidate
    encoder: TextEncoder
    batches: Batches
    plan: Plan
    gradients: Gradients
    device: torch.device

    def fit(
        self,
        progress: Progress,
        validate: Validate,
        on_step: Callable[[Progress, float], None],
        on_epoch: Callable[[Progress], None],
    ) -> None:
        """Trains from `progress.step` until the plan is over.

        `on_step(progress, loss)` follows each optimizer step and may raise to stop the run; `on_epoch(progress)`
        follows each validation. Raises: TrainingFailed (`non_finite_loss`) before a bad step is taken.
        """
        while not self.plan.is_over(progress):
            loss = self.step(progress.step)
            self.average.update(progress.step)
            progress.step += 1
            progress.losses += loss
            if progress.step % self.plan.steps_per_epoch == 0:
                self.optimizer.base.zero_grad()  # validation and checkpoint need the memory
                with self.candidate.in_place():
                    progress.history.append(self._close_epoch(progress) | validate())
                progress.losses = 0.0
                on_epoch(progress)
            on_step(progress, loss)

    def step(self, step: int) -> float:
        """One optimizer step of SAM, ASAM or (rho 0) plain AdamW. Returns the loss at w."""
        self.model.train()
        batch = self.batches.at(step)
        self._set_learning_rate(self.plan.learning_rate(step))
        draws = random_state()
        loss = self.gradients.of(batch)  # ∇L(w)
        if not math.isfinite(loss):
            raise _diverged(f"the loss became {loss}", step)
        if self.optimizer.rho > 0 and step >= self.plan.first_climb:
            self.optimizer.climb()  # to w + ε(w)
            restore_random_state(draws)  # the same dropout: both gradients are of one network
            self.gradients.of(batch)  # ∇L(w + ε(w))
            self.optimizer.return_to_start()  # to w
        self._clip_gradients(step)
        self.optimizer.descend()  # w ← w − η · base step with ∇L(w + ε(w))
        return loss

    def _clip_gradients(self, step: int) -> None:
        """Bounds the gradient that is applied; the climb's is normalised by the paper itself."""
        limit = self.plan.hyperparameters.max_grad_norm
        norm = float(torch.nn.utils.clip_grad_norm_(self.optimizer.parameters, limit))
        if not math.isfinite(norm):
            raise _diverged("the gradient is no longer finite", step)

    def _set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.base.param_groups:
            group["lr"] = rate

    def _close_epoch(self, progress: Progress) -> dict[str, Any]:
        return {
            "epoch": progress.step // self.plan.steps_per_epoch,
            "step": progress.step,
            "train_loss": progress.losses / self.plan.steps_per_epoch,
            "learning_rate": self.plan.learning_rate(progress.step - 1),
        }


def _diverged(what: str, step: int) -> TrainingFailed:
    return TrainingFailed(
        f"{what} at step {step + 1}; try a smaller learning_rate or rho, or look for broken rows in the data set",
        code="non_finite_loss",
    )
