"""The classes that are instantiated by name: no configuration can pick another, and none brings code."""

from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    BertForSequenceClassification,
    CamembertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
    XLMRobertaForSequenceClassification,
)

CLASSIFIERS: dict[str, type[PreTrainedModel]] = {
    "bert": BertForSequenceClassification,
    "camembert": CamembertForSequenceClassification,
    "roberta": RobertaForSequenceClassification,
    "xlm-roberta": XLMRobertaForSequenceClassification,
}


def load_classifier(folder: Path, model_type: str, *, new_head: bool, **config: Any) -> PreTrainedModel:
    """Reads weights from safetensors in a local folder, in float32.

    Args:
        new_head: the classification head may be absent and is then drawn at random.
        config: overrides entries of the folder's config.json.
    Raises: ValueError when weights are missing: transformers would draw those at random too.
    """
    kind: Any = CLASSIFIERS[model_type]
    own_config = kind.config_class.from_pretrained(folder, local_files_only=True, **config)
    model, loading = kind.from_pretrained(
        folder,
        config=own_config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    drawn = ("classifier.", f"{kind.base_model_prefix}.pooler.") if new_head else ()
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(drawn))
    if missing:
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
