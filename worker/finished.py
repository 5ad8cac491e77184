"""What training hands over to those who measure and publish."""

from dataclasses import dataclass

from service.datasets.dataset import SPLITS, Dataset
from service.inference.encoding import TextEncoder
from service.jobs.report import Validation
from service.models.base_models import BaseCheckpoint
from worker.evaluation.metrics import Binary, to_matrix
from worker.training.model import Network
from worker.training.trained_part import Rows, TrainedPart


@dataclass(frozen=True, slots=True)
class Finished:
    """The best weights, of the `part` that was trained, and how they were found. By split: `rows` are the texts as the
    whole model reads them, `truth` their labels, shape (rows, labels)."""

    network: Network
    encoder: TextEncoder
    part: TrainedPart
    base: BaseCheckpoint
    dataset: Dataset
    rows: Rows
    truth: dict[str, Binary]
    validation: Validation


def encode_all(encoder: TextEncoder, dataset: Dataset) -> Rows:
    return {name: encoder.encode([row.text for row in dataset.splits[name]]) for name in SPLITS}


def truth_of_all(dataset: Dataset, labels: list[str]) -> dict[str, Binary]:
    return {name: to_matrix([row.labels for row in dataset.splits[name]], labels) for name in SPLITS}
