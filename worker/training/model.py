"""The network to be trained, and the optimizer that trains it."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from torch.optim import AdamW
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from service.errors import BaseModelUnavailable
from service.inference.architectures import load_encoder
from service.inference.encoding import TextEncoder, check_fits
from service.inference.network import TextClassifier
from service.jobs.spec import ResolvedHyperparameters
from service.models.base_models import BaseCheckpoint
from worker.training.sam import SAM


@dataclass(frozen=True, slots=True)
class Network:
    model: TextClassifier
    tokenizer: PreTrainedTokenizerFast

    def encoder(self, max_length: int) -> TextEncoder:
        """From texts to what the model reads. The tokenizer is its own from then on: it gets the limit of length."""
        return TextEncoder(self.tokenizer.backend_tokenizer, max_length, self.model.config.pad_token_id)


def load_network(base: BaseCheckpoint, num_labels: int) -> Network:
    """The base model under a head of zeros, and its tokenizer. Raises: BaseModelUnavailable."""
    tokenizer, model = _load_tokenizer(base), load_model(base, num_labels)
    try:
        check_fits(tokenizer.backend_tokenizer, model.config.vocab_size)
    except ValueError as error:
        raise _unavailable(base, error) from error
    return Network(model, tokenizer)


def load_model(base: BaseCheckpoint, num_labels: int) -> TextClassifier:
    """The base model under a head of zeros. Raises: BaseModelUnavailable.

    Without dropout of attention: drawing its masks took a fifth of a step on a processor, and the layers have theirs.
    """
    try:
        encoder = load_encoder(base.folder, base.model_type, attention_probs_dropout_prob=0.0)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _unavailable(base, error) from error
    return TextClassifier(encoder, num_labels)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, max_length: int, folder: Path) -> None:
    """As the base model has it, but for `model_max_length`: the limit that an encoder gave it is not for the file.

    transformers 5 writes a name of its class that 4 does not know; the older name means the same to both.
    """
    backend = tokenizer.backend_tokenizer
    limit = backend.truncation
    tokenizer.model_max_length = max_length
    backend.no_truncation()
    try:
        tokenizer.save_pretrained(folder)
    finally:
        if limit is not None:
            backend.enable_truncation(**limit)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["tokenizer_class"] == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def _load_tokenizer(base: BaseCheckpoint) -> PreTrainedTokenizerFast:
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # what `tokenizers` raises has no narrower type
        raise BaseModelUnavailable(f"the tokenizer of {base.name} cannot be loaded: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BaseModelUnavailable(f"the checkpoint of {base.name} has no fast tokenizer; add its tokenizer.json")
    return tokenizer


def _unavailable(base: BaseCheckpoint, error: Exception) -> BaseModelUnavailable:
    return BaseModelUnavailable(f"the checkpoint of {base.name} cannot be loaded: {error}")


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
