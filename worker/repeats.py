"""The same run under other seeds, measured and thrown away: how much of a figure is luck.

Dodge et al. 2020, "Fine-Tuning Pretrained Language Models: Weight Initializations, Data Orders, and Early Stopping".
"""

import torch

from service.inference.classifier import Classifier
from service.inference.engines import make_engine
from service.jobs.report import Repeat
from service.models.base_models import BaseCheckpoint
from service.store.artifacts import ArtifactStore
from worker.calibrate import calibrate
from worker.channel import Order
from worker.evaluation.answers import answer
from worker.evaluation.metrics import macro_f1, right_rows
from worker.finished import Finished
from worker.reproduction import fingerprint
from worker.training.checkpoint import REPEATS
from worker.training.model import load_model

RESULT = "result.json"


def other_seeds(order: Order) -> list[Order]:
    """The orders of the runs that are only measured."""
    asked = order.hyperparameters
    return [
        order.model_copy(update={"hyperparameters": asked.model_copy(update={"seed": (asked.seed + number) % 2**32})})
        for number in range(1, asked.repeats)
    ]


class KeptRepeats:
    """What was measured of a job's other seeds, kept until the job ends: another attempt goes on from there."""

    def __init__(self, artifacts: ArtifactStore, job_id: str, base: BaseCheckpoint) -> None:
        self._artifacts, self._folder, self._base = artifacts, f"{job_id}/{REPEATS}", base

    def folder(self, seed: int) -> str:
        """Where that run keeps its checkpoints."""
        return f"{self._folder}/{seed}"

    def get(self, order: Order) -> Repeat | None:
        name = self._measured(order)
        if not self._artifacts.path("checkpoints", name).exists():
            return None
        folder = self._artifacts.open("checkpoints", name)
        return Repeat.model_validate_json((folder / RESULT).read_text(encoding="utf-8"))

    def add(self, order: Order, repeat: Repeat) -> None:
        with self._artifacts.writing("checkpoints", self._measured(order)) as folder:
            (folder / RESULT).write_text(repeat.model_dump_json(), encoding="utf-8")
        self._artifacts.remove("checkpoints", self.folder(repeat.seed))  # they have served

    def _measured(self, order: Order) -> str:
        """Where its result is. With half the batch, as after memory ran out, the same seed is another run."""
        return f"{self.folder(order.hyperparameters.seed)}-measured-{fingerprint(order, self._base)}"


def measure_repeat(finished: Finished, order: Order, device: torch.device) -> Repeat:
    """The test split as the published model is measured: calibrated, and by the same engine."""
    model, rows = finished.network.model, finished.texts.rows["test"]
    card, _ = calibrate(finished, order, device)
    finished.part.put_back(model, load_model(finished.base, len(order.labels)))
    engine = make_engine(model.to(device).eval(), device, order.settings.engine, order.settings.threads)
    classifier = Classifier(model, finished.texts.encoder, card, device, engine)
    predicted = answer(classifier, rows, order.settings.max_batch_tokens).predicted
    return Repeat(
        seed=order.hyperparameters.seed,
        val_loss=finished.validation.best["val_loss"],
        accuracy=float(right_rows(finished.texts.truth["test"], predicted).mean()),
        macro_f1=macro_f1(finished.texts.truth["test"], predicted),
    )
