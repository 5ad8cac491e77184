"""A model under training, measured on the validation split after each epoch: this chooses the weights."""

from collections.abc import Sequence

from service.inference.classifier import Classifier
from service.inference.device import autocast
from service.inference.predictions import Encoding
from worker.evaluation.metrics import Binary, decide, macro_f1, row_losses
from worker.evaluation.scaling import activate, fit_temperature


def validate(classifier: Classifier, rows: Sequence[Encoding], truth: Binary, max_tokens: int) -> dict[str, float]:
    """`val_loss`, the cross-entropy of calibrated probabilities, and `val_macro_f1`.

    Calibrated, because that is what will be served. The plain loss rises as a model grows too sure of itself long
    before its choices get worse, and would choose weights that have hardly learnt.
    """
    task = classifier.card.task
    with autocast(classifier.device):  # in training's precision, and in half the time
        logits = classifier.logits(rows, max_tokens)
    probabilities = activate(logits / fit_temperature(logits, truth, task), task)
    return {
        "val_loss": float(row_losses(probabilities, truth, task).mean()),
        "val_macro_f1": macro_f1(truth, decide(probabilities, task)),
    }
