"""Training on the rows of the word embeddings that occur.

Of xlm-roberta-base's 278 M parameters 192 M are word embeddings, of which a few hundred texts touch a few
thousand rows. A row that does not occur has no gradient; as embeddings are not decayed either (see
`model.make_optimizer`), leaving it out changes nothing but time, memory and the size of checkpoints.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kept`: ids of the rows that are trained, ascending; `row_of_id`: id → row, int64 of shape (vocabulary,)."""

    kept: Tensor
    row_of_id: Tensor


def shrink(encoder: PreTrainedModel, used: Iterable[int]) -> Vocabulary:
    """Replaces the word embeddings by those of the ids in `used`. Ids up to the padding id stay where they are,
    because RoBERTa counts positions by it. Any other id now means the unknown row 0: encode before, not after."""
    full = word_embeddings(encoder)
    first = range((_table(encoder).padding_idx or 0) + 1)
    kept = torch.tensor(sorted({*used, *first}))
    row_of_id = torch.zeros(len(full), dtype=torch.long)
    row_of_id[kept] = torch.arange(len(kept))
    _put(encoder, full[kept].clone())
    return Vocabulary(kept, row_of_id)


def grow_back(encoder: PreTrainedModel, vocabulary: Vocabulary, full: Tensor) -> None:
    """Writes the trained rows into `full`, the pretrained table, and gives that to the encoder.

    Whoever trains has it read again for this: kept all the time, it would be most of the memory of a run.
    """
    full[vocabulary.kept] = word_embeddings(encoder).to(full.device)
    _put(encoder, full)


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
