"""The network: an encoder, the mean of its last hidden states, one linear layer.

The mean over all tokens, not the state at `<s>`: few examples cannot teach `<s>` to gather what a text says, and the
mean carries it from the start (measured: `benchmarks/`). The scale of the mean says nothing, so it is normalised.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from transformers import PreTrainedModel

START_SHARE = 2.0**-10  # see service.inference.published: what lets a stock checkpoint say the same
HEAD_DROPOUT = 0.1


class TextClassifier(nn.Module):
    """`encoder` gives hidden states of shape (rows, tokens, hidden size); `head` turns features into logits."""

    def __init__(self, encoder: PreTrainedModel, num_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.head = nn.Linear(encoder.config.hidden_size, num_labels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """float32 of shape (rows, hidden size): mean 0 and variance 1 in each row."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        mask = attention_mask.unsqueeze(-1)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return layer_norm(mean + START_SHARE * states[:, 0], mean.shape[-1:], eps=1e-12)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of shape (rows, labels)."""
        logits: Tensor = self.head(self.dropout(self.features(input_ids, attention_mask)))
        return logits

    @property
    def config(self) -> Any:
        """The encoder's."""
        return self.encoder.config

    @torch.no_grad()
    def drop_key_biases(self) -> None:
        """Leaves every output as it is, and lets bfloat16 come nearer to it.

        A key's bias adds the same number to all scores of a query, which softmax takes away again. But pretrained
        biases are large, and a key that is rounded with one has fewer digits left for what tells keys apart.
        """
        for name, parameter in self.encoder.named_parameters():
            if name.endswith("attention.self.key.bias"):
                parameter.zero_()

    @torch.no_grad()
    def round_weights(self) -> None:
        """Leaves the encoder's matrices as numbers that bfloat16 holds, in float32 as before.

        A pass in bfloat16 rounds them in any case. Where a model is published so, float32 computes with the same
        weights, and only states are rounded in one and not in the other.
        """
        for module in self.encoder.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(module.weight.bfloat16())

    @torch.no_grad()
    def scale_logits(self, temperature: float, shift: Tensor) -> None:
        """Makes `logits / temperature + shift` part of the weights, so that whoever loads them gets calibrated
        probabilities. `shift`: shape (labels,)."""
        self.head.weight.div_(temperature)
        self.head.bias.div_(temperature).add_(shift)
