"""THE engine: encode, forward, probabilities. It serves `/predict` and measures the test split."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from service.errors import ArtifactCorrupt
from service.inference.architectures import load_classifier
from service.inference.encoding import TextEncoder
from service.inference.planning import plan_batches
from service.inference.predictions import Encoding, Scores
from service.models.finished import ModelCard, read_card
from service.store.records import Task


class Classifier:
    """A model with its tokenizer and labels; synchronous, one forward pass at a time."""

    def __init__(self, model: PreTrainedModel, encoder: TextEncoder, card: ModelCard, device: torch.device) -> None:
        model.to(device)  # type: ignore[arg-type]  # transformers' wrapper hides the method's type
        self.model = model.train(False)
        self.encoder = encoder
        self.card = card
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Classifier":
        """Reads a published model (or one staged to be published). Raises: ArtifactCorrupt."""
        card = read_card(folder)
        try:
            model = load_classifier(folder, read_model_type(folder), new_head=False)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ArtifactCorrupt(f"{folder.name} cannot be loaded: {error}") from error
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        encoder = TextEncoder(tokenizer, card.max_length, model.config.pad_token_id)
        return cls(model, encoder, card, device)

    @property
    def bytes(self) -> int:
        """Memory of the weights."""
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())

    @torch.inference_mode()
    def forward(self, rows: Sequence[Encoding]) -> Scores:
        """Probabilities of shape (rows, labels): softmax for choosing, sigmoid for deciding, in float32."""
        logits = self.model(**self.encoder.pad(rows, self.device)).logits
        scores: Scores = probabilities(logits, self.card.task).cpu().numpy()
        return scores

    def score(self, rows: Sequence[Encoding], max_tokens: int) -> Scores:
        """`forward` over any number of rows, in batches of like length; order kept."""
        scores = np.empty((len(rows), len(self.card.labels)), dtype=np.float32)
        for batch in plan_batches([len(row.ids) for row in rows], max_tokens):
            scores[batch] = self.forward([rows[index] for index in batch])
        return scores


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """The activation that belongs to the task, over logits of shape (rows, labels), in float32."""
    return torch.softmax(logits.float(), dim=-1) if task == "choosing" else torch.sigmoid(logits.float())


def read_model_type(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
