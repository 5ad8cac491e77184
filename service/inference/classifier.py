"""THE engine: encode, forward, probabilities. It serves `/predict` and measures the test split.

A fast forward pass rounds to bfloat16, which moves a logit by 0.005 on average (root mean square): nothing to a clear
answer, but a text between two labels could fall to the other side. So such texts are computed again in float32.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from service.errors import ArtifactCorrupt
from service.inference.device import autocast, telling_of_loss
from service.inference.encoding import TextEncoder, read_tokenizer
from service.inference.engines import EngineName, FeatureEngine, make_engine
from service.inference.network import TextClassifier
from service.inference.planning import pass_tokens, plan_batches
from service.inference.predictions import Encoding, Scores
from service.inference.published import load_published
from service.models.checkpoints import max_length, read_config
from service.models.finished import ModelCard, read_card
from service.store.records import Task

NEAR = 0.1  # a difference of logits below which the rounding of bfloat16 might decide


class Classifier:
    """A model with its tokenizer and labels; synchronous, one forward pass at a time."""

    def __init__(
        self,
        model: TextClassifier,
        encoder: TextEncoder,
        card: ModelCard,
        device: torch.device,
        engine: FeatureEngine | None = None,
    ) -> None:
        """Without `engine` the model itself computes, as it is at each call: for one that is being trained."""
        self.model = model.to(device).eval()
        self.encoder = encoder
        self.card = card
        self.device = device
        self.engine = engine

    @classmethod
    def load(
        cls, folder: Path, device: torch.device, engine: EngineName = "auto", threads: int | None = None
    ) -> "Classifier":
        """Reads a published model (or one staged to be published). Raises: ArtifactCorrupt, DeviceLost."""
        card = read_card(folder)
        try:
            config = read_config(folder)
            if card.max_length > max_length(config):
                raise ValueError(f"the card says {card.max_length} tokens, the network reads {max_length(config)}")
            model = load_published(folder, config["model_type"], len(card.labels))
            tokenizer = read_tokenizer(folder / "tokenizer.json", config["vocab_size"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ArtifactCorrupt(f"{folder.name} cannot be loaded: {error}") from error
        encoder = TextEncoder(tokenizer, card.max_length, model.config.pad_token_id)
        model.drop_key_biases()
        with telling_of_loss():
            model.to(device).eval()
        return cls(model, encoder, card, device, make_engine(model, device, engine, threads))

    @property
    def bytes(self) -> int:
        """Memory of the weights."""
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())

    @torch.inference_mode()
    def forward(self, rows: Sequence[Encoding]) -> Scores:
        """Probabilities of shape (rows, labels): softmax for choosing, sigmoid for deciding, in float32.

        Raises: DeviceLost.
        """
        with telling_of_loss():
            scores: Scores = probabilities(self._logits(rows), self.card.task).cpu().numpy()
            return scores

    def score(self, rows: Sequence[Encoding], max_tokens: int) -> Scores:
        """`forward` over any number of rows, in batches of like length; order kept."""
        return in_batches(self.forward, rows, len(self.card.labels), self.device, max_tokens)

    @torch.inference_mode()
    def logits(self, rows: Sequence[Encoding], max_tokens: int) -> Scores:
        """What the probabilities are made of, float32 of shape (rows, labels)."""
        width = len(self.card.labels)
        return in_batches(lambda own: self._logits(own).cpu().numpy(), rows, width, self.device, max_tokens)

    def _logits(self, rows: Sequence[Encoding]) -> Tensor:
        if self.engine is None:
            return self._own_logits(rows)
        padded = self.encoder.pad(rows, self.device)
        features = self.engine.features(padded["input_ids"], padded["attention_mask"])
        logits: Tensor = self.model.head(features.float())
        if not self.engine.exact:
            near = torch.nonzero(near_a_decision(logits, self.card)).flatten().tolist()
            if near:
                logits[near] = self._own_logits([rows[index] for index in near])
        return logits

    def _own_logits(self, rows: Sequence[Encoding]) -> Tensor:
        logits: Tensor = self.model(**self.encoder.pad(rows, self.device))
        return logits.float()


def embed(
    network: TextClassifier, encoder: TextEncoder, rows: Sequence[Encoding], device: torch.device, max_tokens: int
) -> Scores:
    """What the network's encoder makes of texts before its head: float32 of shape (rows, hidden size)."""
    network.to(device).eval()  # outside of inference mode: what that moves can never be trained again

    def features(own: Sequence[Encoding]) -> Scores:
        with torch.inference_mode(), autocast(device):
            found: Scores = network.features(**encoder.pad(own, device)).cpu().numpy()
        return found

    return in_batches(features, rows, network.config.hidden_size, device, max_tokens)


def in_batches(
    compute: Callable[[Sequence[Encoding]], Scores],
    rows: Sequence[Encoding],
    width: int,
    device: torch.device,
    max_tokens: int,
) -> Scores:
    """`compute`, which gives (some rows, width), over any number of rows in batches of like length; order kept."""
    found = np.empty((len(rows), width), dtype=np.float32)
    for batch in plan_batches([len(row.ids) for row in rows], max_tokens, pass_tokens(device.type)):
        found[batch] = compute([rows[index] for index in batch])
    return found


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """The activation that belongs to the task, over logits of shape (rows, labels), in float32."""
    return torch.softmax(logits.float(), dim=-1) if task == "choosing" else torch.sigmoid(logits.float())


def near_a_decision(logits: Tensor, card: ModelCard) -> Tensor:
    """Whether a change of `NEAR` in the logits, shape (rows, labels), may change the labels; bool of shape (rows,)."""
    if card.task == "deciding":
        thresholds = torch.tensor(card.thresholds, device=logits.device)
        return ((logits - torch.logit(thresholds, eps=1e-6)).abs() < NEAR / 2).any(dim=-1)  # one logit moves, not two
    first_two = logits.topk(2, dim=-1).values
    return (first_two[:, 0] - first_two[:, 1]) < NEAR
