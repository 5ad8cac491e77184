"""What validation texts are for once they have chosen the weights: the served head, its scaling, its thresholds."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from service.inference.classifier import Classifier, embed
from service.jobs.spec import HEAD_SPLITS
from service.models.finished import ModelCard
from worker.channel import Order
from worker.evaluation.folds import text_groups
from worker.evaluation.metrics import Binary, Floats
from worker.evaluation.scaling import Scaling, activate, fit_scaling
from worker.evaluation.thresholds import fit_thresholds
from worker.finished import Finished
from worker.training.probe import fit_head_to_both


def calibrate(finished: Finished, order: Order, device: torch.device) -> tuple[ModelCard, Scaling]:
    """Makes head and scaling part of the weights, which are rounded first, and the thresholds part of the card that it
    returns. Before the trained part is put back: it is enough, and quicker.

    Scaling and thresholds come from what the head says of validation texts that it was not fitted to.
    """
    model, rows = finished.network.model, finished.part.rows
    encoder, truth = finished.texts.encoder, finished.texts.truth
    card, most = make_card(order), order.settings.max_batch_tokens
    model.round_weights()
    if order.hyperparameters.head_rows == "train":
        logits: Floats = Classifier(model, encoder, card, device).logits(rows["val"], most).astype(float)
    else:
        train, val = (embed(model, encoder, rows[name], device, most) for name in ("train", "val"))
        groups = text_groups([row.text for row in finished.texts.dataset.splits["val"]])
        weight = order.hyperparameters.class_weight
        probe, logits = fit_head_to_both(train, truth["train"], val, truth["val"], order.task, groups, weight)
        probe.into(model)
    scaling = fit_scaling(logits, truth["val"], order.task, _frequency(truth, order))
    model.scale_logits(scaling.temperature, torch.from_numpy(scaling.shift))
    if order.task == "choosing":
        return card, scaling
    return replace(card, thresholds=_thresholds(logits, truth["val"], scaling)), scaling


def _frequency(truth: Mapping[str, Binary], order: Order) -> Floats | None:
    """Of each label among the texts that the head learnt from, with half a text of doubt."""
    if order.hyperparameters.class_weight == "none":
        return None
    learnt = np.concatenate([truth[name] for name in HEAD_SPLITS[order.hyperparameters.head_rows]])
    return np.asarray((learnt.sum(axis=0) + 0.5) / (len(learnt) + 1))


def _thresholds(logits: Floats, truth: Binary, scaling: Scaling) -> list[float]:
    """Fitted where labels count alike: there one threshold for all, to which they are drawn, makes sense."""
    alike = fit_thresholds(activate(logits / scaling.unshifted, "deciding"), truth)
    return [round(float(threshold), 6) for threshold in scaling.thresholds(alike)]


def make_card(order: Order) -> ModelCard:
    return ModelCard(
        task=order.task,
        labels=order.labels,
        max_length=order.hyperparameters.max_length,
        base_model=order.base_model,
        job_id=order.job_id,
        dataset_sha256=order.dataset_sha256,
        thresholds=[0.5] * len(order.labels) if order.task == "deciding" else [],
    )
