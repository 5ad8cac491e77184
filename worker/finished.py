"""What training hands over to those who measure and publish."""

from dataclasses import dataclass, replace

from service.datasets.dataset import SPLITS, Dataset
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.predictions import Encoding
from service.jobs.report import Validation
from service.models.base_models import BaseCheckpoint
from worker.evaluation.metrics import Binary, to_matrix
from worker.training.model import Network
from worker.training.vocabulary import Vocabulary, grow_back, word_embeddings


@dataclass(frozen=True, slots=True)
class Finished:
    """The best weights, for the words in `vocabulary`, and how they were found. By split: `rows` are the texts as the
    model reads them, `truth` their labels, shape (rows, labels)."""

    network: Network
    encoder: TextEncoder
    vocabulary: Vocabulary
    base: BaseCheckpoint
    dataset: Dataset
    rows: dict[str, list[Encoding]]
    truth: dict[str, Binary]
    validation: Validation


def grown_back(finished: Finished, base_model: TextClassifier) -> Finished:
    """With all words of the base model again, whose table it takes: test texts and users have others than it learnt."""
    grow_back(finished.network.model.encoder, finished.vocabulary, word_embeddings(base_model.encoder))
    return replace(finished, encoder=finished.encoder.for_rows(None))


def encode_all(encoder: TextEncoder, dataset: Dataset) -> dict[str, list[Encoding]]:
    return {name: encoder.encode([row.text for row in dataset.splits[name]]) for name in SPLITS}


def truth_of_all(dataset: Dataset, labels: list[str]) -> dict[str, Binary]:
    return {name: to_matrix([row.labels for row in dataset.splits[name]], labels) for name in SPLITS}
