"""The classes that are instantiated by name: no configuration can pick another, and none brings code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    BertModel,
    CamembertForSequenceClassification,
    CamembertModel,
    PreTrainedModel,
    RobertaForSequenceClassification,
    RobertaModel,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from service.models.checkpoints import read_config


@dataclass(frozen=True, slots=True)
class Architecture:
    """An encoder, the class that a finished model is published as, and where that one keeps its head.

    `encoder_prefix`, `dense` and `projection` are names of weights: the encoder's, the head's first layer (followed
    by tanh) and its last.
    """

    encoder: type[PreTrainedModel]
    published: type[PreTrainedModel]
    encoder_prefix: str
    dense: str
    projection: str


_ROBERTA = ("roberta", "classifier.dense", "classifier.out_proj")
ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(BertModel, BertForSequenceClassification, "bert", "bert.pooler.dense", "classifier"),
    "camembert": Architecture(CamembertModel, CamembertForSequenceClassification, *_ROBERTA),
    "roberta": Architecture(RobertaModel, RobertaForSequenceClassification, *_ROBERTA),
    "xlm-roberta": Architecture(XLMRobertaModel, XLMRobertaForSequenceClassification, *_ROBERTA),
}


def load_encoder(folder: Path, model_type: str, **config: Any) -> PreTrainedModel:
    """The encoder of a checkpoint, without pooler and head, from safetensors in a local folder, in float32.

    Args:
        config: overrides entries of the folder's config.json.
    Raises: ValueError when the folder is not what it should be, or weights are missing: transformers would draw them
    at random.
    """
    kind: Any = ARCHITECTURES[model_type].encoder
    own_config = kind.config_class(**(read_config(folder) | config))
    model, loading = kind.from_pretrained(
        folder,
        config=own_config,
        add_pooling_layer=False,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{len(missing)} weights are missing, the first is {missing[0]}")
    return cast(PreTrainedModel, model)


def quieten() -> None:
    """No progress bars between log lines, and no advice to train heads that are about to be trained."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def read_pickled_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch file. Raises: pickle.UnpicklingError when it holds anything but plain data."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in weights.items() if isinstance(tensor, Tensor)}


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """As safetensors; tensors that share memory there are written apart."""
    save_file({name: tensor.contiguous().clone() for name, tensor in weights.items()}, path, {"format": "pt"})
