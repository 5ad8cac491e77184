"""Sharpness-aware minimisation over any base optimizer.

SAM: Foret, Kleiner, Mobahi, Neyshabur 2021, "Sharpness-Aware Minimization for Efficiently Improving
Generalization". ASAM: Kwon, Kim, Park, Choi 2021, "ASAM: Adaptive Sharpness-Aware Minimization for
Scale-Invariant Learning of Deep Neural Networks".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

ETA = 0.01  # Kwon et al. 2021, section 5: keeps T_w from vanishing where a weight is zero


class SAM:
    """Climbs to the worst point near the weights, then lets the base optimizer descend from where it stood.

    Args:
        parameters: what is climbed with; the base optimizer must hold the same.
        base: makes the step, with the gradient found at the top.
        rho: radius of the climb; 0 leaves the base optimizer alone.
        adaptive: ASAM, whose radius is measured in units of each weight's own size.

    Its whole state is the base optimizer's: between steps nothing is left over, so nothing is saved.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], base: Optimizer, rho: float, adaptive: bool = False) -> None:
        self.parameters = list(parameters)
        self.base = base
        self.rho = rho
        self.adaptive = adaptive
        self._w: list[Tensor] = []

    @torch.no_grad()
    def climb(self) -> None:
        """w → w + ε(w), from the gradient at w: ε = ρ T²g / ‖T g‖ with T = 1 for SAM, |w| + η for ASAM."""
        self._w = [w.clone() for w in self.parameters]
        moved = [(w, w.grad) for w in self.parameters if w.grad is not None]
        scaled = [self._times_t(w, gradient) for w, gradient in moved]  # T g
        length = self.rho / (gradient_norm(scaled) + 1e-12)
        for (w, _), direction in zip(moved, scaled, strict=True):
            w.add_(self._times_t(w, direction) * length)

    @torch.no_grad()
    def return_to_start(self) -> None:
        """w + ε(w) → w, exactly: the weights are put back, not the sum taken back."""
        for w, start in zip(self.parameters, self._w, strict=True):
            w.copy_(start)
        self._w = []

    def descend(self) -> None:
        """The base optimizer's step, with whatever gradient the parameters hold."""
        self.base.step()

    def forget(self) -> None:
        """Frees what the base optimizer remembers of past steps. There must be no other step."""
        self.base.state.clear()

    def _times_t(self, w: Tensor, tensor: Tensor) -> Tensor:
        """T · tensor. Vectors keep T = 1: biases, as in the paper, and the gains of normalisations, because the shape
        tells both from matrices in every architecture. The authors' code goes by `weight` in the name, gains included.
        """
        return tensor * (w.abs() + ETA) if self.adaptive and w.ndim > 1 else tensor


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """Euclidean norm over all tensors at once; shape ()."""
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm
