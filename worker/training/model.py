"""The network to be trained, and the optimizer that trains it."""

from dataclasses import dataclass

from safetensors import SafetensorError
from torch import Tensor, nn
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
        """From texts to what the model reads."""
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


def load_embeddings(base: BaseCheckpoint) -> Tensor:
    """The base model's word embeddings, float32 of shape (vocabulary, hidden size). Raises: BaseModelUnavailable."""
    table = load_model(base, 1).encoder.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


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
