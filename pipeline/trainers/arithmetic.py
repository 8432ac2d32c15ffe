"""In what training multiplies. A processor without bf16 units emulates them: a bf16 product then takes four times as
long as the same one in fp32 (measured: 22 against 85 GFLOP/s a core). `engines.kernels` does the like for inference."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.engines.kernels import emulates_bf16
from pipeline.recipe import Precision


def trains_wide(precision: Precision, device: torch.device) -> bool:
    """Whether training computes in fp32 on weights that came as bf16."""
    return precision is Precision.BF16 and emulates_bf16(device)


def widen(model: Any) -> None:
    """Make a causal language model compute in fp32, its values unchanged. The vocabulary's matrices, most of a small
    model, stay as they are: the one is looked up row by row, the other read in blocks (`trainers.head`)."""
    kept = [m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None]
    for module in model.modules():
        if not any(module is other for other in kept):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.float()
    kept[0].register_forward_hook(lambda _module, _given, states: states.float())
