"""The gradient of a batch's mean loss, in as many parts as memory asks for.

Gradient accumulation: the parts' losses are divided by what the whole batch's would be, so that their gradients add up
to the batch's own, whatever the parts.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from service.inference.device import autocast, is_out_of_memory
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.planning import plan_batches
from service.store.records import Task
from worker.training.batches import TrainingRow
from worker.training.loss import ClassificationLoss, make_targets
from worker.training.randomness import random_state, restore_random_state

# Tokens, padding counted, in one forward and backward pass to begin with. For a model of xlm-roberta-base's shape their
# activations take about as much as its weights, gradients and moments on a processor, where smaller parts cost no time.
# On a GPU they take 25 GiB; one with less memory finds out how much it takes.
MOST_TOKENS = {"cpu": 4_096, "cuda": 65_536}
# Padding in a part: a little more than what another part costs (see `service.inference.planning`). In a set of Thai
# posts, a few of them long, 37 % of all tokens were padding; with this it is 12 %.
MOST_PADDING = {"cpu": 128, "cuda": 8_192}


class Gradients:
    """Computes the gradients of `parameters`; remembers how large a part this device's memory takes."""

    def __init__(
        self,
        model: TextClassifier,
        parameters: Sequence[nn.Parameter],
        encoder: TextEncoder,
        loss: ClassificationLoss,
        task: Task,
        device: torch.device,
        tell: Callable[[str], None],
    ) -> None:
        """`tell` hears when parts become smaller because memory ran out."""
        self.model, self.parameters, self.encoder = model, list(parameters), encoder
        self.loss, self.task, self.device = loss, task, device
        self.max_tokens = MOST_TOKENS.get(device.type, MOST_TOKENS["cpu"])
        self.most_padding = MOST_PADDING.get(device.type, MOST_PADDING["cuda"])
        self._tell = tell
        self._tried = 0  # tokens of the largest part of the batch that was begun

    def of(self, batch: Sequence[TrainingRow]) -> float:
        """Leaves the gradient in the parameters; returns the mean loss.

        Raises: what torch says when memory runs out, where a single text is too much.
        """
        draws = random_state()
        try:
            return self._in_parts(batch)
        except RuntimeError as error:
            alone = self.max_tokens < max(len(row.encoding.ids) for row in batch)
            if alone or not is_out_of_memory(error):
                raise
        # outside the except block: its traceback would keep the tensors that are to be freed
        self._halve()
        restore_random_state(draws)  # the same dropout
        return self.of(batch)

    def _in_parts(self, batch: Sequence[TrainingRow]) -> float:
        for parameter in self.parameters:
            parameter.grad = None
        targets = make_targets([row.target for row in batch], self.task, self.device)
        whole = self.loss.size(targets)
        total = 0.0
        lengths = [len(row.encoding.ids) for row in batch]
        self._tried = 0
        for part in plan_batches(lengths, self.max_tokens, self.most_padding):
            self._tried = max(self._tried, len(part) * max(lengths[index] for index in part))
            total += self._backward([batch[index] for index in part], targets[part], whole)
        return total

    def _backward(self, rows: Sequence[TrainingRow], targets: Tensor, whole: Tensor) -> float:
        """Adds one part's gradient; returns its share of the mean loss."""
        inputs = self.encoder.pad([row.encoding for row in rows], self.device)
        with autocast(self.device):
            logits: Tensor = self.model(**inputs)
        share: Tensor = self.loss(logits.float(), targets) / whole
        share.backward()  # type: ignore[no-untyped-call]
        return float(share.detach())

    def _halve(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        # half of the limit may be more than there was; nothing was begun where the targets were too much
        self.max_tokens = min(self.max_tokens, self._tried or self.max_tokens) // 2
        self._tell(f"memory ran out; going on with {self.max_tokens} tokens at once")
