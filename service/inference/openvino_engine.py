"""OpenVINO, the engine for processors.

It runs the same graph at 1.5 times (32 texts) to 2 times (one text) the speed of torch under autocast, within
a few per cent of what the processor's bfloat16 products reach (`benchmarks/`). Both compute in bfloat16 where
the hardware has it; `service.inference.classifier` says what is done about its rounding.
"""

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from service.inference.network import TextClassifier

# OpenVINO tells its makers of each conversion, unless this module of its own is missing: then it has a silent stub.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

# OpenVINO keeps what it prepared for each shape (rows, tokens) that it met: 420 MB after about 800 shapes of a small
# model, and growing. With so few entries its memory stays as it is, for 6 % more time where no shape comes again.
CACHED_SHAPES = "64"
_tracing = threading.Lock()  # torch.jit.trace has one state for the whole process


def compile_features(model: TextClassifier, rounded: bool, threads: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """`TextClassifier.features` of this model as it is now, on the processor; `rounded`: computed in bfloat16."""
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if rounded else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # a training run on the same machine must be able to move aside
        "CPU_RUNTIME_CACHE_CAPACITY": CACHED_SHAPES,
    } | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
    request = openvino.Core().compile_model(_convert(model), "CPU", settings).create_infer_request()

    def features(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        (found,) = request.infer([input_ids.numpy(), attention_mask.numpy()], share_inputs=True).values()
        return torch.from_numpy(np.array(found))  # a copy: the next call writes to the same memory

    return features


class _Features(nn.Module):
    """`TextClassifier.features` as the `forward` that a trace follows."""

    def __init__(self, model: TextClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.features(input_ids, attention_mask)


def _convert(model: TextClassifier) -> openvino.Model:
    ids = torch.full((2, 4), 5)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])  # some padding, or the trace would leave the mask out
    shape = openvino.PartialShape([-1, -1])
    with _tracing, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that a trace follows one way and that traces are old
        # By ourselves, for OpenVINO's way of tracing and checking took 3.5 s more.
        traced = torch.jit.trace(_Features(model).eval(), (ids, mask), check_trace=False)  # type: ignore[no-untyped-call]
        try:
            return openvino.convert_model(traced, input=[shape, shape], example_input=(ids, mask))
        finally:
            _forget_traces()


def _forget_traces() -> None:
    """Torch keeps what it ever traced or froze in one registry for the whole process: 12 MB for each model of 12 layers
    that is loaded, and a service may load thousands. Its own tests clear it so (`torch.testing._internal.jit_utils`;
    https://github.com/pytorch/pytorch/issues/35600)."""
    with contextlib.suppress(AttributeError):  # private: a later torch may have another way, or no need for one
        torch._C._jit_clear_class_registry()
        torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
        torch.jit._state._clear_class_state()
