"""What computes a text's features fast: OpenVINO on processors, torch on everything else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from service.inference.device import autocast, has_bfloat16
from service.inference.network import TextClassifier

EngineName = Literal["auto", "openvino", "torch"]


@dataclass(frozen=True, slots=True)
class FeatureEngine:
    """`features` takes `input_ids` and `attention_mask`, int64 of shape (rows, tokens), and gives what
    `TextClassifier.features` gives: float32 of shape (rows, hidden size). `exact`: computed in float32."""

    name: str
    exact: bool
    features: Callable[[Tensor, Tensor], Tensor]


def make_engine(model: TextClassifier, device: torch.device, asked: EngineName, threads: int | None) -> FeatureEngine:
    """The engine for a finished model: its weights must not change any more.

    Args:
        asked: `auto` is OpenVINO on a processor, torch on a GPU.
        threads: of the processor; None: all.
    """
    if asked == "torch" or device.type != "cpu":
        return _torch_engine(model, device)
    from service.inference.openvino_engine import compile_features  # of no use on a GPU: 0.15 s and its memory

    rounded = has_bfloat16(device)
    return FeatureEngine("openvino", exact=not rounded, features=compile_features(model, rounded, threads))


def _torch_engine(model: TextClassifier, device: torch.device) -> FeatureEngine:
    def features(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        with autocast(device):
            return model.features(input_ids, attention_mask)

    return FeatureEngine("torch", exact=not has_bfloat16(device), features=features)
