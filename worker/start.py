"""What every run of a job begins with."""

from dataclasses import replace

from service.datasets.files import read_dataset
from service.models.base_models import BaseCheckpoint
from service.store.artifacts import ArtifactStore
from worker.channel import Order, Supervision
from worker.finished import Texts, read_texts
from worker.training.model import Network, load_model, load_network


class Start:
    """A base model and a data set. The model is read for each run, which changes it; the rest once for all seeds."""

    def __init__(self, order: Order, base: BaseCheckpoint, artifacts: ArtifactStore, channel: Supervision) -> None:
        self.base = base
        self._order, self._artifacts, self._channel = order, artifacts, channel
        self._known: tuple[Network, Texts] | None = None  # its model is that of the last run

    def again(self) -> tuple[Network, Texts]:
        """A network just loaded. That of the run before is to be of no use any more.

        Raises: BaseModelUnavailable; NotFound or ArtifactCorrupt where the data set is.
        """
        labels = self._order.labels
        if self._known is None:
            network = load_network(self.base, len(labels))
            texts = self._read(network)
        else:
            last, texts = self._known
            last.model.to("meta")
            network = replace(last, model=load_model(self.base, len(labels)))
        self._known = network, texts
        return network, texts

    def _read(self, network: Network) -> Texts:
        order = self._order
        dataset = read_dataset(self._artifacts.open("datasets", order.dataset_id), order.task, order.labels)
        texts = read_texts(dataset, order.labels, network.encoder(order.hyperparameters.max_length))
        rows = texts.rows["train"]
        if cut := sum(row.truncated for row in rows):
            words = f"{cut} of {len(rows)} training texts are longer than max_length and read only in part"
            self._channel.send("note", level="warning", message=words)
        return texts
