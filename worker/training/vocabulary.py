"""Training on the rows of the word embeddings that occur.

Of xlm-roberta-base's 278 M parameters 192 M are word embeddings, of which a few hundred texts touch a few
thousand rows. A row that does not occur has no gradient; as embeddings are not decayed either (see
`model.make_optimizer`), leaving it out changes nothing but time, memory and the size of checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from service.inference.network import TextClassifier
from service.inference.predictions import Encoding


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kept`: ids of the rows that are trained, ascending. `rows`: by split, texts as places among these."""

    kept: Tensor
    rows: dict[str, list[Encoding]]

    def put_back(self, model: TextClassifier, base_model: TextClassifier) -> None:
        """See `worker.training.trained_part`. The trained rows are written into the pretrained table.

        Whoever trains has that read again for this: kept all the time, it would be most of the memory of a run.
        """
        full = word_embeddings(base_model.encoder)
        full[self.kept] = word_embeddings(model.encoder).to(full.device)
        _put(model.encoder, full)


def shrink(model: TextClassifier, rows: Mapping[str, list[Encoding]]) -> Vocabulary:
    """Replaces the word embeddings by those of the ids in `rows`. Ids up to the padding id stay where they are,
    because RoBERTa counts positions by it."""
    full = word_embeddings(model.encoder)
    first = range((_table(model.encoder).padding_idx or 0) + 1)
    kept = sorted({*first, *(token for own in rows.values() for row in own for token in row.ids)})
    place = {token: number for number, token in enumerate(kept)}
    _put(model.encoder, full[kept].clone())
    moved = {
        name: [Encoding([place[token] for token in row.ids], row.truncated) for row in own]
        for name, own in rows.items()
    }
    return Vocabulary(torch.tensor(kept), moved)


def word_embeddings(encoder: PreTrainedModel) -> Tensor:
    """Shape (vocabulary, hidden size); the encoder's own memory."""
    return _table(encoder).weight.detach()


def _table(encoder: PreTrainedModel) -> nn.Embedding:
    embeddings = encoder.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return embeddings


def _put(encoder: PreTrainedModel, weight: Tensor) -> None:
    table = nn.Embedding(weight.shape[0], weight.shape[1], padding_idx=_table(encoder).padding_idx, _weight=weight)
    encoder.set_input_embeddings(table)
