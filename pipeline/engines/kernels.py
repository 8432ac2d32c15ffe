"""Matrix products in bf16 on processors that have no bf16 arithmetic: there oneDNN emulates it, at a fifth of fp32.

The weights stay bf16; a block of them that fits the cache is widened, multiplied in fp32, and the sum rounded to bf16
once: what a bf16 kernel with fp32 accumulation does too. Products of few rows are left alone: reading is all they cost.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

_BLOCK = 1024 * 640
"""Weights widened at a time: 2.6 MB in fp32. Larger blocks fall out of the cache and lose a quarter (measured)."""
_FEW = 4
"""Rows under which the emulated product is the faster one."""


def emulates_bf16(device: torch.device) -> bool:
    """Whether bf16 products on this device are made of fp32 ones by the library. By the processor's flags alone, so
    that a run resumed on the same machine takes the same path."""
    if device.type != "cpu":
        return False
    native = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return torch.cpu._is_avx512_supported() and not any(known() for known in native)


def widen_products(model: Any) -> int:
    """Let a model's bf16 linear layers multiply in fp32 where the processor would emulate bf16; returns how many do.

    For inference only. Layers that are not plain `Linear` (quantised, LoRA's own) stay as they are.
    """
    changed = 0
    for module in model.modules():
        plain = type(module) is torch.nn.Linear and module.weight.dtype is torch.bfloat16
        if plain and emulates_bf16(module.weight.device):
            module.forward = functools.partial(_linear, module)
            changed += 1
    return changed


def _linear(module: Any, x: torch.Tensor) -> torch.Tensor:
    rows = x.numel() // x.shape[-1]
    if rows < _FEW or x.dtype is not torch.bfloat16:
        return torch.nn.functional.linear(x, module.weight, module.bias)
    return product(x, module.weight, module.bias)


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x [..., in] times weight [out, in], both bf16; summed in fp32, rounded once. Returns [..., out] in bf16."""
    wide = x.reshape(-1, x.shape[-1]).float()
    out = x.new_empty(wide.shape[0], weight.shape[0])
    step = max(1, _BLOCK // weight.shape[1])
    for begin in range(0, weight.shape[0], step):
        part = wide @ weight[begin : begin + step].float().t()
        if bias is not None:
            part += bias[begin : begin + step].float()
        out[:, begin : begin + step] = part
    return out.view(*x.shape[:-1], weight.shape[0])
