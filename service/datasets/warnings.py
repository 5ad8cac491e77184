"""What is doubtful about a data set that is taken all the same. Nothing is dropped unasked: its owner is told."""

from service.datasets.dataset import Dataset
from service.datasets.label_warnings import label_warnings
from service.datasets.leakage import leakage_warnings
from service.datasets.length_warnings import length_warnings
from service.datasets.near_duplicates import MOST_TEXTS
from service.store.records import Json


def dataset_warnings(dataset: Dataset, most_texts: int = MOST_TEXTS) -> list[Json]:
    """Each `{"code", "message", "rows": [{"split", "row"}]}`; a message says what to do, and rows are 100 at most.

    Args:
        dataset: with all three splits.
        most_texts: above this number the thorough search for near duplicates is left out, and a warning says so.
    """
    return [
        *dataset.notices,
        *label_warnings(dataset),
        *leakage_warnings(dataset, most_texts),
        *length_warnings(dataset),
    ]
