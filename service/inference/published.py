"""A network as a stock `…ForSequenceClassification` folder of transformers, and back.

The stock classes read the state at `<s>`, ours the mean of all. So the folder has one more layer, built by hand, whose
attention is even (queries and keys are zero), passes values through, and adds 1/START_SHARE times their mean to each
state: its layer norm at `<s>` then gives our features. The head's tanh is used where it is linear. Whoever loads
the folder elsewhere gets our probabilities to within rounding (tests: 1e-5); here the layer is left out again.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from service.inference.architectures import ARCHITECTURES, load_encoder
from service.inference.network import START_SHARE, TextClassifier
from service.models.checkpoints import read_config
from service.store.records import Task

LINEAR = 2.0**-12  # for a feature of 10, tanh(x * LINEAR) / LINEAR is off by 2e-6 of it
PROBLEM_TYPES: dict[Task, str] = {"choosing": "single_label_classification", "deciding": "multi_label_classification"}


def save_published(network: TextClassifier, labels: list[str], task: Task, folder: Path) -> None:
    """Writes config.json and model.safetensors, float32, with label names and `problem_type`."""
    architecture = ARCHITECTURES[network.config.model_type]
    config = type(network.config).from_dict(network.config.to_dict())
    config.num_hidden_layers += 1
    config.problem_type = PROBLEM_TYPES[task]
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    with torch.device("meta"):  # the weights are ours, so none are drawn
        published = architecture.published(config)
    published.load_state_dict(_published_weights(network), assign=True)
    published.save_pretrained(folder)


def load_published(folder: Path, model_type: str, labels: int) -> TextClassifier:
    """The inverse of `save_published`. Raises: ValueError when weights are missing."""
    layers = read_config(folder)["num_hidden_layers"]
    network = TextClassifier(load_encoder(folder, model_type, num_hidden_layers=layers - 1), labels)
    projection = ARCHITECTURES[model_type].projection
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        network.head.load_state_dict(
            {
                "weight": weights.get_tensor(f"{projection}.weight") * LINEAR,
                "bias": weights.get_tensor(f"{projection}.bias"),
            }
        )
    return network


def _published_weights(network: TextClassifier) -> dict[str, Tensor]:
    architecture, encoder = ARCHITECTURES[network.config.model_type], network.encoder
    layer = f"encoder.layer.{network.config.num_hidden_layers}"
    inner = {**encoder.state_dict(), **_pooling_layer(encoder, layer)}
    size = network.config.hidden_size
    return {
        **{f"{architecture.encoder_prefix}.{name}": tensor for name, tensor in inner.items()},
        f"{architecture.dense}.weight": torch.eye(size) * LINEAR,
        f"{architecture.dense}.bias": torch.zeros(size),
        f"{architecture.projection}.weight": network.head.weight.detach().cpu() / LINEAR,
        f"{architecture.projection}.bias": network.head.bias.detach().cpu(),
    }


def _pooling_layer(encoder: PreTrainedModel, layer: str) -> dict[str, Tensor]:
    """The weights of the layer described above, all zero but for those that pass something on."""
    like = encoder.state_dict()
    first = "encoder.layer.0."
    weights = {
        f"{layer}.{name.removeprefix(first)}": torch.zeros(tensor.shape)
        for name, tensor in like.items()
        if name.startswith(first)
    }
    size = encoder.config.hidden_size
    weights[f"{layer}.attention.self.value.weight"] = torch.eye(size)
    weights[f"{layer}.attention.output.dense.weight"] = torch.eye(size) / START_SHARE
    for norm in ("attention.output", "output"):
        weights[f"{layer}.{norm}.LayerNorm.weight"] = torch.ones(size)
    return weights
