"""In what a processor multiplies. One without bf16 units emulates them: a bf16 product then takes four times as long as
the same one in fp32 (measured: 22 against 85 GFLOP/s a core). Training is served here, inference by `engines.kernels`."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.recipe import Precision


def emulates_bf16(device: torch.device) -> bool:
    """Whether bf16 products on this device are made of fp32 ones by the library. By the processor's flags alone, so
    that a run resumed on the same machine takes the same path."""
    if device.type != "cpu":
        return False
    native = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return torch.cpu._is_avx512_supported() and not any(known() for known in native)


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
