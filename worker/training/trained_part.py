"""What of a model is trained, cut out of it so that the rest costs neither time nor memory."""

from collections.abc import Mapping
from typing import IO, Protocol

import torch

from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.predictions import Encoding
from worker.training.frozen_layers import freeze, layers_of
from worker.training.vocabulary import shrink

Rows = dict[str, list[Encoding]]  # by split


class TrainedPart(Protocol):
    @property
    def rows(self) -> Rows:
        """Training and validation texts as the part reads them."""

    def put_back(self, model: TextClassifier, base_model: TextClassifier) -> None:
        """Makes `model`, which is the part, whole again: it then reads token ids. What was left out is taken from
        `base_model`, the pretrained one, which is of no use afterwards."""


def cut_out(
    model: TextClassifier,
    rows: Mapping[str, list[Encoding]],
    frozen_share: float,
    encoder: TextEncoder,
    device: torch.device,
    max_tokens: int,
    scratch: IO[bytes],
) -> TrainedPart:
    """Leaves in `model` what is trained when that share of its layers is not, the lowest ones and the embeddings. Where
    no layer is frozen, embeddings are trained too: those of the tokens that occur.

    Args:
        rows: training and validation texts.
        encoder, device, max_tokens: to compute what frozen layers make of them.
        scratch: an empty file, which is in use as long as the part is.
    Raises: OSError when the disk is full.
    """
    splits = {name: rows[name] for name in ("train", "val")}
    depth = int(frozen_share * len(layers_of(model)))
    if depth == 0:
        return shrink(model, splits)
    return freeze(model, splits, depth, encoder, device, max_tokens, scratch)
