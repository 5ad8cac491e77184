"""What would be published if training ended now: half way back to the pretrained weights, under a head fitted anew.

Wortsman et al. 2022, "Robust Fine-Tuning of Zero-Shot Models" (WiSE-FT): weights between the pretrained and the
fine-tuned ones are right about more texts than either. The head is then fitted as at the start (see
`worker.training.probe`), for it belongs to the features of neither end.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from worker.training.averaging import WeightAverage
from worker.training.pretrained import PretrainedWeights
from worker.training.probe import FINE_TUNED, FROZEN, Strength

FitHead = Callable[[Strength], None]  # fits the head of the network as it is now, by that strength


class Candidate:
    """Of the averaged weights."""

    def __init__(
        self, average: WeightAverage, share: float, pretrained: PretrainedWeights | None, fit_head: FitHead
    ) -> None:
        """`share` of fine-tuning in the weights, the rest is `pretrained`; at 1, where that is None, they are the
        averaged ones, with the head that was trained."""
        self.average = average
        self.share = share
        self._pretrained = pretrained
        self._fit_head = fit_head

    def start_head(self) -> None:
        """Before the first step. Kumar et al. 2022: from a random head, the first steps pull the encoder about."""
        self._fit_head(FROZEN)
        self.average.restart()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The candidate in the parameters for the block; then what was there before, exactly."""
        own = [parameter.detach().clone() for parameter in self.average.parameters]
        try:
            self.put()
            yield
        finally:
            self._fill(own)

    def put(self) -> None:
        """The candidate in the parameters, to stay."""
        self.put_weights()
        self.put_head()

    def put_weights(self) -> None:
        """All of it but for the head that is fitted to it."""
        if self._pretrained is None:
            self._fill(self.average.tensors)
            return
        self._fill(
            start.lerp(tensor, self.share) for start, tensor in zip(self._pretrained, self.average.tensors, strict=True)
        )

    def put_head(self) -> None:
        """To the weights that are in the parameters; one that was trained with them is there already."""
        if self._pretrained is not None:
            self._fit_head(FINE_TUNED)

    @torch.no_grad()
    def _fill(self, tensors: Iterable[Tensor]) -> None:
        for parameter, tensor in zip(self.average.parameters, tensors, strict=True):
            parameter.copy_(tensor)
