"""What a run of a job reads, and what it hands over to those who measure and publish."""

from dataclasses import dataclass

from service.datasets.dataset import SPLITS, Dataset
from service.inference.encoding import TextEncoder
from service.jobs.report import Validation
from service.models.base_models import BaseCheckpoint
from worker.evaluation.metrics import Binary, to_matrix
from worker.training.model import Network
from worker.training.trained_part import Rows, TrainedPart


@dataclass(frozen=True, slots=True)
class Texts:
    """A data set as the base model reads it. By split: `rows` are its texts, `truth` their labels, 0/1 of shape
    (rows, labels)."""

    dataset: Dataset
    encoder: TextEncoder
    rows: Rows
    truth: dict[str, Binary]


@dataclass(frozen=True, slots=True)
class Finished:
    """The best weights, of the `part` that was trained, and how they were found."""

    network: Network
    part: TrainedPart
    base: BaseCheckpoint
    texts: Texts
    validation: Validation


def read_texts(dataset: Dataset, labels: list[str], encoder: TextEncoder) -> Texts:
    rows = {name: encoder.encode([row.text for row in dataset.splits[name]]) for name in SPLITS}
    truth = {name: to_matrix([row.labels for row in dataset.splits[name]], labels) for name in SPLITS}
    return Texts(dataset, encoder, rows, truth)
