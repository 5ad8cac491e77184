"""One training job from first line to last, in reading order. Runs as a process of its own: `worker.child`."""

import os
import time
from dataclasses import dataclass
from functools import partial
from typing import IO

import numpy as np
import torch

from service.errors import ClassiglotError, DeviceLost, TrainingFailed
from service.inference.architectures import quieten
from service.inference.classifier import Classifier, embed
from service.inference.device import describe_device, is_out_of_memory, pick_device, telling_of_loss, use_threads
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.predictions import Encoding
from service.jobs.report import Repeat, Validation
from service.logs import configure_logs, get_logger, tell_with_each_line
from service.models.base_models import BaseCheckpoint, locate
from service.store.artifacts import ArtifactStore
from worker.calibrate import make_card
from worker.channel import OUT_OF_MEMORY, Channel, Order, Supervision
from worker.clock import Clock
from worker.evaluation.metrics import Binary
from worker.evaluation.validation import validate
from worker.finished import Finished
from worker.memory import give_memory_back, go_first_when_memory_runs_out
from worker.publish import measure_and_publish
from worker.pulse import start_pulse
from worker.repeats import KeptRepeats, measure_repeat, other_seeds
from worker.reproduction import fingerprint
from worker.start import Start
from worker.training.averaging import WeightAverage
from worker.training.batches import Batches, make_rows
from worker.training.candidate import Candidate
from worker.training.checkpoint import Checkpoints
from worker.training.dropout import draw_fast
from worker.training.gradients import Gradients
from worker.training.loop import Plan, Progress, Trainer
from worker.training.loss import make_loss
from worker.training.model import Network, make_optimizer
from worker.training.pretrained import PretrainedWeights
from worker.training.probe import Strength, fit_probe
from worker.training.randomness import seed_everything
from worker.training.trained_part import cut_out

log = get_logger(__name__)


class Stopped(Exception):
    """The supervisor asked for an end; the state is saved."""


def run(order: Order, channel: Supervision) -> None:
    """Trains, measures and publishes. Raises: ClassiglotError that says why the job fails; Stopped."""
    device = pick_device(order.settings.device)
    use_threads(order.settings.threads)
    artifacts = ArtifactStore(order.settings.artifacts_dir)

    channel.send("phase", phase="loading")
    base = locate(order.base_model, order.settings)
    order = _fit_length(order, base, channel)
    start = Start(order, base, artifacts, channel)
    repeats = _measure_repeats(order, start, device, artifacts, channel)
    finished = _find_best(order, start, device, artifacts, channel)  # moments and averages are freed with its frame
    give_memory_back()

    published = measure_and_publish(finished, repeats, order, device, artifacts, channel)
    channel.send("succeeded", **published)


def _measure_repeats(
    order: Order, start: Start, device: torch.device, artifacts: ArtifactStore, channel: Supervision
) -> list[Repeat]:
    """Under the other seeds, before the run that is published: that one then ends the job as any other does."""
    kept = KeptRepeats(artifacts, order.job_id, start.base)
    found = []
    for number, repeated in enumerate(other_seeds(order)):
        seed = repeated.hyperparameters.seed
        if (repeat := kept.get(repeated)) is None:
            turn = Turn(number, kept.folder(seed))
            finished = _find_best(repeated, start, device, artifacts, channel, turn)
            repeat = measure_repeat(finished, repeated, device)
            kept.add(repeated, repeat)
        channel.send("note", message=f"seed {seed}: macro-F1 {repeat.macro_f1:.3f} on the test split")
        found.append(repeat)
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a job of several: how many were before it, and where its checkpoints are."""

    number: int
    folder: str


def _find_best(
    order: Order,
    start: Start,
    device: torch.device,
    artifacts: ArtifactStore,
    channel: Supervision,
    turn: Turn | None = None,
) -> Finished:
    """Trains from the newest checkpoint on, or from the start; ends with the weights that validation likes best.

    `turn`: of a run that is not the job's last.
    """
    turn = turn or Turn(order.hyperparameters.repeats - 1, order.job_id)
    began = time.monotonic()
    seed_everything(order.hyperparameters.seed)
    network, texts = start.again()
    encoder, truth = texts.encoder, texts.truth
    checkpoints = Checkpoints(
        artifacts, turn.folder, order.attempt, fingerprint(order, start.base), order.settings.checkpoint_seconds
    )
    with artifacts.scratch() as states, artifacts.scratch() as scratch:
        share, limit = order.hyperparameters.frozen_share, order.settings.max_batch_tokens
        part = cut_out(network.model, texts.rows, share, encoder, device, limit, states)
        trainer = _make_trainer(network, encoder, part.rows["train"], truth["train"], order, device, scratch, channel)
        progress = checkpoints.resume(trainer)
        if progress.step:
            channel.send("note", message=f"resumed after step {progress.step} of {trainer.plan.total_steps}")
        else:
            trainer.candidate.start_head()
        give_memory_back()
        seconds = time.monotonic() - began
        channel.send("note", message=f"training on {describe_device(device)}, ready in {seconds:.1f} s")

        channel.send("phase", phase="training")
        _train(trainer, progress, checkpoints, part.rows["val"], truth["val"], order, channel, turn.number)
        if progress.step < trainer.plan.total_steps:
            words = (
                f"the validation loss has not fallen for {order.hyperparameters.patience} epochs: training ends here"
            )
            channel.send("note", message=words)
        trainer.optimizer.forget()
        give_memory_back()
        best = checkpoints.load_best(trainer, progress)
        if order.hyperparameters.head_rows == "train":  # else `calibrate` fits one to validation texts too
            trainer.candidate.put_head()

    channel.send("phase", phase="evaluating")
    return Finished(network, part, start.base, texts, Validation(best=best, history=progress.history))


def _fit_length(order: Order, base: BaseCheckpoint, channel: Supervision) -> Order:
    """A base model that reads fewer tokens than asked for bounds the length, and that is said."""
    if order.hyperparameters.max_length <= base.max_length:
        return order
    channel.send(
        "note",
        level="warning",
        message=f"{base.name} reads {base.max_length} tokens at most; max_length is that",
    )
    fitted = order.hyperparameters.model_copy(update={"max_length": base.max_length})
    channel.send("hyperparameters", hyperparameters=fitted.model_dump())
    return order.model_copy(update={"hyperparameters": fitted})


def _make_trainer(
    network: Network,
    encoder: TextEncoder,
    rows: list[Encoding],
    truth: Binary,
    order: Order,
    device: torch.device,
    scratch: IO[bytes],
    channel: Supervision,
) -> Trainer:
    hyperparameters = order.hyperparameters
    batches = Batches(make_rows(rows, truth, order.task), hyperparameters.batch_size, hyperparameters.seed)
    network.model.to(device)
    if device.type == "cpu":  # the fused kernel's backward pass is slower there (a step of 0.29 s against 0.34)
        network.model.encoder.set_attn_implementation("eager")
        draw_fast(network.model)
    optimizer = make_optimizer(network.model, hyperparameters)
    average = WeightAverage(optimizer.parameters, hyperparameters.ema_decay)
    share = hyperparameters.fine_tuned_share
    pretrained = PretrainedWeights(optimizer.parameters, scratch) if share < 1 else None
    fit_head = partial(_fit_head, network.model, encoder, rows, truth, order, device)
    loss = make_loss(truth, order.task, hyperparameters.class_weight).to(device)

    def tell(what: str) -> None:
        channel.send("note", level="warning", message=what)

    return Trainer(
        model=network.model,
        optimizer=optimizer,
        average=average,
        candidate=Candidate(average, share, pretrained, fit_head),
        encoder=encoder,
        batches=batches,
        plan=Plan(hyperparameters, batches.steps_per_epoch),
        gradients=Gradients(network.model, optimizer.parameters, encoder, loss, order.task, device, tell),
        device=device,
    )


def _fit_head(
    model: TextClassifier,
    encoder: TextEncoder,
    rows: list[Encoding],
    truth: Binary,
    order: Order,
    device: torch.device,
    strength: Strength,
) -> None:
    """To the features that the model now has of the training texts: see worker.training.probe."""
    features = embed(model, encoder, rows, device, order.settings.max_batch_tokens)
    if not np.isfinite(features).all():
        raise TrainingFailed(
            f"{order.base_model} gives numbers that are not finite; try a smaller learning_rate, or fetch its "
            "checkpoint again",
            code="non_finite_loss",
        )
    fit_probe(features, truth, order.task, strength, order.hyperparameters.class_weight).into(model)


def _train(
    trainer: Trainer,
    progress: Progress,
    checkpoints: Checkpoints,
    val_rows: list[Encoding],
    truth: Binary,
    order: Order,
    channel: Supervision,
    runs_before: int,
) -> None:
    """Runs the loop, and tells of each second and each epoch."""
    card = make_card(order)
    clock = Clock(progress.step, trainer.plan, runs_before)

    def validate_now() -> dict[str, float]:
        classifier = Classifier(trainer.model, trainer.encoder, card, trainer.device)
        return validate(classifier, val_rows, truth, order.settings.max_batch_tokens)

    def on_step(progress: Progress, loss: float) -> None:
        over = trainer.plan.is_over(progress)
        if clock.due(progress.step) or over:
            channel.send("progress", **clock.tell(progress.step, over), loss=loss)
        if channel.stop_asked.is_set() and not over:
            checkpoints.save(trainer, progress)
            raise Stopped

    def on_epoch(progress: Progress) -> None:
        epoch = progress.history[-1]
        if runs_before == order.hyperparameters.repeats - 1:
            channel.send("epoch", **epoch)
        else:  # of a model that will not be published
            words = (
                f"seed {order.hyperparameters.seed}, epoch {epoch['epoch']}: validation loss {epoch['val_loss']:.4f}"
            )
            channel.send("note", message=words)
        checkpoints.end_epoch(trainer, progress)

    trainer.fit(progress, validate_now, on_step, on_epoch)


def main() -> int:
    channel = Channel()
    go_first_when_memory_runs_out()
    order = channel.receive_order()
    start_pulse(channel)
    configure_logs(order.settings.log_level, process="run")
    tell_with_each_line(job_id=order.job_id, attempt=order.attempt)
    quieten()
    try:
        with telling_of_loss():
            run(order, channel)
    except Stopped:
        channel.send("stopped")
    except DeviceLost:
        log.exception("device_lost")
        words = "the GPU stopped working for this process; another one goes on from the last checkpoint"
        channel.send("note", level="error", message=words)
        return os.EX_TEMPFAIL
    except ClassiglotError as error:
        channel.send("failed", code=error.code, message=error.message)
    except Exception as error:  # the last line of defence: the job must learn that it failed
        log.exception("run_failed")
        if is_out_of_memory(error):
            channel.send("failed", code=OUT_OF_MEMORY, message="memory ran out; try a smaller batch_size or max_length")
        else:
            what = f"unexpected {type(error).__name__}; the worker's log says more"
            channel.send("failed", code="internal", message=what)
    return 0
