"""Dropout whose masks are drawn eight elements at a time.

Torch draws one random number for each element, on one thread, which took a tenth of a training step on a processor. One
byte an element is enough; the rate is then a number of 256ths (0.1 becomes 0.1016), and what is kept is scaled by it.
"""

import torch
from torch import Tensor, nn

LEVELS = 256


class ByteDropout(nn.Dropout):
    """For processors. Draws from torch's own generator, so that seeds and saved states of it hold."""

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.dropped = round(p * LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        eights = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = eights.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - self.dropped))


def draw_fast(model: nn.Module) -> None:
    """Puts it in place of each `nn.Dropout` that drops anything in `model`, which is to be trained on a processor."""
    for module in [*model.modules()]:
        for name, child in module.named_children():
            if type(child) is nn.Dropout and child.p:
                setattr(module, name, ByteDropout(child.p))
