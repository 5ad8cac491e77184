"""Training the upper layers on what the lower ones, which stay as they are, make of each text: computed once.

Lee, Tang and Lin 2019, "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning": the lower layers hold
what holds for any task. Half of them frozen, a step costs half, and so does each look at the validation texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from service.inference.device import autocast
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.planning import pass_tokens, plan_batches
from service.inference.predictions import Encoding


class States(nn.Module):
    """Stands where a model's embeddings were: what is looked up is a token in its text, as the frozen layers left it.

    `table`, float32 of shape (tokens of all texts, hidden size), stays where it is: on disk, in the system's cache.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        """Shape (rows, tokens, hidden size)."""
        return self.table[input_ids.cpu()].to(input_ids.device)


@dataclass(frozen=True, slots=True)
class UpperLayers:
    """The layers from `depth` on. `rows`: by split, each text as the places of its tokens in the table."""

    depth: int
    rows: dict[str, list[Encoding]]

    def put_back(self, model: TextClassifier, base_model: TextClassifier) -> None:
        """See `worker.training.trained_part`."""
        encoder, base = _inside(model), _inside(base_model)
        base.set_attn_implementation(encoder.config._attn_implementation)  # layers of one model are of one kind
        encoder.embeddings = base.embeddings
        encoder.encoder.layer = nn.ModuleList([*layers_of(base_model)[: self.depth], *layers_of(model)])


def freeze(
    model: TextClassifier,
    rows: Mapping[str, list[Encoding]],
    depth: int,
    encoder: TextEncoder,
    device: torch.device,
    max_tokens: int,
    scratch: IO[bytes],
) -> UpperLayers:
    """Leaves the layers from `depth` on in `model`, which reads the rows of the result from then on."""
    inside, layers = _inside(model), layers_of(model)
    inside.encoder.layer = layers[:depth]
    first = encoder.pad_id + 1  # padding is looked up too, and stays what it is
    texts = [*chain.from_iterable(rows.values())]
    starts = [*accumulate((len(text.ids) for text in texts), initial=first)]
    model.to(device).eval()  # outside of inference mode: what that moves can never be trained again
    _write_states(model, texts, starts, encoder, device, max_tokens, scratch)
    shape = (starts[-1], inside.config.hidden_size)
    inside.embeddings = States(torch.from_numpy(np.memmap(scratch, np.float32, "r+", shape=shape)))
    inside.encoder.layer = layers[depth:]
    places = iter(starts)
    return UpperLayers(depth, {name: [_at(text, next(places)) for text in own] for name, own in rows.items()})


def layers_of(model: TextClassifier) -> nn.ModuleList:
    layers = _inside(model).encoder.layer
    assert isinstance(layers, nn.ModuleList)
    return layers


@torch.inference_mode()
def _write_states(
    model: TextClassifier,
    texts: list[Encoding],
    starts: list[int],
    encoder: TextEncoder,
    device: torch.device,
    max_tokens: int,
    file: IO[bytes],
) -> None:
    """Of each token of each text, one after the other from its start on. Raises: OSError when the disk is full."""
    file.truncate(4 * starts[0] * model.config.hidden_size)
    for batch in plan_batches([len(text.ids) for text in texts], max_tokens, pass_tokens(device.type)):
        with autocast(device):
            states = model.encoder(**encoder.pad([texts[index] for index in batch], device)).last_hidden_state
        for index, own in zip(batch, states.float().cpu(), strict=True):
            file.seek(4 * starts[index] * model.config.hidden_size)
            file.write(own[: len(texts[index].ids)].numpy().tobytes())
    file.flush()


def _at(text: Encoding, start: int) -> Encoding:
    return Encoding([*range(start, start + len(text.ids))], text.truncated)


def _inside(model: TextClassifier) -> Any:
    """All our families keep their layers at `encoder.layer` and what comes before these at `embeddings`."""
    return model.encoder
