"""Probabilities that mean what they say: one temperature, and for deciding one step back to how frequent labels are,
fitted on validation.

Guo et al. 2017, "On Calibration of Modern Neural Networks"; King and Zeng 2001, "Logistic Regression in Rare Events
Data" (prior correction).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax

from service.store.records import Task
from worker.evaluation.metrics import Binary, Floats

COOLEST, HOTTEST = 0.01, 10.0  # a head that is kept small says everything far too mildly


def activate(logits: NDArray[np.floating], task: Task) -> Floats:
    """Softmax for choosing, sigmoid for deciding, over logits of shape (rows, labels)."""
    z = logits.astype(np.float64)
    return np.asarray(softmax(z, axis=1) if task == "choosing" else expit(z))


@dataclass(frozen=True, slots=True)
class Scaling:
    """Calibrated logits are `logits / temperature + shift`.

    `shift`, of shape (labels,), is `prior_share` of the log-odds of how frequent labels are. `unshifted`: the
    temperature that is best without it.
    """

    unshifted: float
    temperature: float
    prior_share: float
    shift: Floats

    def of(self, logits: NDArray[np.floating]) -> Floats:
        return np.asarray(logits / self.temperature + self.shift)

    def undone(self, logits: NDArray[np.floating]) -> Floats:
        return np.asarray((logits - self.shift) * self.temperature)

    def thresholds(self, alike: Floats) -> Floats:
        """Probabilities of shape (labels,) that part the same texts as `alike` do where labels are not shifted."""
        return np.asarray(expit(self.of(logit(alike) * self.unshifted)))


def fit_scaling(logits: NDArray[np.floating], truth: Binary, task: Task, frequency: Floats | None) -> Scaling:
    """`frequency`: of each label, shape (labels,), where training made labels count alike, else None.

    A label that was made to count as if half of the texts had it is then stated far too often, and a temperature, which
    is fitted to all that plainly does not hold, cannot mend that. For choosing it stays: there the shift would
    change which label is given, to the loss of rare ones.
    """
    temperature = fit_temperature(logits, truth, task)
    if frequency is None or task == "choosing":
        return Scaling(temperature, temperature, 0.0, np.zeros(truth.shape[1]))
    prior = logit(frequency)

    def loss(at: Floats) -> float:
        return _loss(logits / np.exp(at[0]) + at[1] * prior, truth, task)

    bounds = [(np.log(COOLEST), np.log(HOTTEST)), (0.0, 1.0)]
    found = minimize(loss, [np.log(temperature), 0.0], bounds=bounds, method="L-BFGS-B").x
    return Scaling(temperature, float(np.exp(found[0])), float(found[1]), found[1] * prior)


def fit_temperature(logits: NDArray[np.floating], truth: Binary, task: Task) -> float:
    """The T > 0 for which logits / T have the lowest cross-entropy on these rows. It changes no choice of label."""
    bounds = (np.log(COOLEST), np.log(HOTTEST))
    found = minimize_scalar(lambda at: _loss(logits / np.exp(at), truth, task), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def _loss(logits: NDArray[np.floating], truth: Binary, task: Task) -> float:
    """Cross-entropy, the truth softened by one claim in all, as Platt (1999, "Probabilistic Outputs for Support Vector
    Machines") does: fifty rows that are all right prove no certainty, and the plain optimum would then be T = 0.
    Deciding claims something of each label: softened by a row for each, labels that hardly a row has would seem thrice
    as frequent."""
    doubt = 1 / ((len(truth) if task == "choosing" else truth.size) + 2)
    soft = truth * (1 - doubt) + doubt / (truth.shape[1] if task == "choosing" else 2)
    p = np.clip(activate(logits, task), 1e-12, 1 - 1e-12)
    against = 0.0 if task == "choosing" else (1 - soft) * np.log(1 - p)
    return float(-(soft * np.log(p) + against).sum())
