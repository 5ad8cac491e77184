"""The network to be trained, and the optimizer that trains it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from service.errors import BaseModelUnavailable
from service.inference.architectures import load_classifier
from service.jobs.spec import ResolvedHyperparameters
from service.models.base_models import BaseCheckpoint
from service.store.records import Task
from worker.training.sam import SAM

_PROBLEM_TYPE = {"choosing": "single_label_classification", "deciding": "multi_label_classification"}


@dataclass(frozen=True, slots=True)
class Network:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast

    @property
    def text_tokenizer(self) -> Tokenizer:
        return self.tokenizer.backend_tokenizer


def load_network(base: BaseCheckpoint, labels: Sequence[str], task: Task) -> Network:
    """The base model with a new head for these labels. Raises: BaseModelUnavailable."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
        model = load_classifier(
            base.folder,
            base.model_type,
            new_head=True,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type=_PROBLEM_TYPE[task],
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BaseModelUnavailable(f"the checkpoint of {base.name} cannot be loaded: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BaseModelUnavailable(f"the checkpoint of {base.name} has no fast tokenizer; add its tokenizer.json")
    return Network(model, tokenizer)


def make_optimizer(model: nn.Module, hyperparameters: ResolvedHyperparameters) -> SAM:
    """SAM, ASAM or (rho 0) plain AdamW. Biases, normalisation and embeddings are not decayed: of embeddings
    only some rows occur, and decay would slowly erase the others."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        group = plain if parameter.ndim < 2 or "embeddings" in name else decayed
        group.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": hyperparameters.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    base = AdamW(groups, lr=hyperparameters.learning_rate, fused=True)
    return SAM([*decayed, *plain], base, hyperparameters.rho, adaptive=hyperparameters.optimizer == "asam")


def loss_function(task: Task) -> nn.Module:
    """Over float32 logits of shape (rows, labels): softmax cross-entropy for choosing (targets: int64 of shape
    (rows,)), mean binary cross-entropy for deciding (targets: float32 of shape (rows, labels))."""
    return nn.CrossEntropyLoss() if task == "choosing" else nn.BCEWithLogitsLoss()


def make_targets(targets: Sequence[int | list[float]], task: Task, device: torch.device) -> Tensor:
    return torch.tensor(targets, dtype=torch.long if task == "choosing" else torch.float32, device=device)
