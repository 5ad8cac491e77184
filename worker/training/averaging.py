"""A running average of the weights: steadier than any single step's, and so is what validation says of it.

Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; exponential form as in Tarvainen
and Valpola 2017, "Mean Teachers Are Better Role Models".
"""

from collections.abc import Sequence

import torch
from torch import nn


class WeightAverage:
    """`decay` 0: the weights themselves. Its state is `tensors`, in the order of the parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.tensors = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def restart(self) -> None:
        """Forgets the past: the average is the weights as they are."""
        torch._foreach_copy_(self.tensors, [*map(torch.Tensor.detach, self.parameters)])

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step`, counted from 0. Early on the start weighs less than the decay would have it."""
        decay = min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.tensors, [*map(torch.Tensor.detach, self.parameters)], 1 - decay)
