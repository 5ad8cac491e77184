"""What validation texts are for once they have chosen the weights: the served head, its temperature, its thresholds."""

from dataclasses import replace

import torch

from service.inference.classifier import Classifier, embed
from service.models.finished import ModelCard
from worker.channel import Order
from worker.evaluation.calibration import activate, fit_temperature
from worker.evaluation.folds import text_groups
from worker.evaluation.metrics import Floats
from worker.evaluation.thresholds import fit_thresholds
from worker.finished import Finished
from worker.training.probe import fit_head_to_both


def calibrate(finished: Finished, order: Order, device: torch.device) -> tuple[ModelCard, float]:
    """Makes head and temperature part of the weights, which are rounded first, and the thresholds part of the card
    that it returns. Before the trained part is put back: it is enough, and quicker.

    Temperature and thresholds come from what the head says of validation texts that it was not fitted to. The float is
    the temperature.
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
    temperature = fit_temperature(logits, truth["val"], order.task)
    model.divide_logits(temperature)
    if order.task == "choosing":
        return card, temperature
    thresholds = fit_thresholds(activate(logits / temperature, order.task), truth["val"])
    return replace(card, thresholds=[round(float(threshold), 4) for threshold in thresholds]), temperature


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
