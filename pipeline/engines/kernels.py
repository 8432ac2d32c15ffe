"""Linear layers as a processor multiplies them fastest while a model is only read.

Weights are packed once in the order in which oneDNN reads them: as they are, each product of few rows would pack them
anew. Where bf16 arithmetic is only emulated (at a fifth of fp32) the packed copy of a bf16 layer is wide, and the sum
is rounded to bf16 once: what a bf16 kernel with fp32 accumulation does too. Where there is no room for copies, a block
of the weights that fits the cache is widened for each product.
"""

from __future__ import annotations

import functools
import platform
from typing import Any

import torch

from pipeline.environment import memory_bytes

_X86 = frozenset({"x86_64", "amd64"})
_BLOCK = 1024 * 640
"""Weights widened at a time: 2.6 MB in fp32. Larger blocks fall out of the cache and lose a quarter (measured)."""
_COPIES = 1 / 8
"""Of the machine's memory, what packed copies may take beside the weights."""
_NARROW = 128
"""Inputs or outputs of a layer up to which nothing is gained by packing."""
_HINT = 32
"""Rows that the packing is told to expect; for others it is as good."""
_FEW_WIDE, _FEW = 4, 3
"""Rows under which reading is all that a product costs: emulated bf16 then reads half as much as fp32 would."""


def emulates_bf16(device: torch.device) -> bool:
    """Whether bf16 products on this device are made of fp32 ones by the library: so on an x86 processor without units
    of its own for them (on one with AVX2 alone the library's are 5 to 7 times slower than fp32). By the processor's
    flags alone, so that a run resumed on the same machine takes the same path."""
    if device.type != "cpu" or platform.machine().lower() not in _X86:
        return False
    native = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return not any(known() for known in native)


def speed_up_products(model: Any) -> int:
    """Let a model's linear layers multiply packed, or in blocks, where that is faster; returns how many do.

    For reading only, and for weights that do not change from here on. Layers that are not plain `Linear` (quantised,
    LoRA's own) stay as they are, and so do all on a GPU.
    """
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear and _gains(module.weight)]
    copies = 4 * sum(layer.weight.numel() for layer in layers)
    room = copies <= _COPIES * (memory_bytes() or 0)  # free or not: a resumed run must take the same path
    changed = 0
    for layer in layers:
        if room and _packs():
            _replace(layer, functools.partial(_packed, layer, _pack(layer.weight.detach())))
        elif layer.weight.dtype is torch.bfloat16:
            _replace(layer, functools.partial(_widened, layer))
        else:
            continue
        changed += 1
    return changed


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x [..., in] times weight [out, in], both bf16, widened block by block; summed in fp32, rounded once. Returns
    [..., out] in bf16."""
    wide = x.reshape(-1, x.shape[-1]).float()
    out = x.new_empty(wide.shape[0], weight.shape[0])
    step = max(1, _BLOCK // weight.shape[1])
    for begin in range(0, weight.shape[0], step):
        part = wide @ weight[begin : begin + step].float().t()
        if bias is not None:
            part += bias[begin : begin + step].float()
        out[:, begin : begin + step] = part
    return out.view(*x.shape[:-1], weight.shape[0])


def packed_product(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x [..., in] in bf16 or fp32 times packed fp32 weights [out, in]; [..., out] in the type of x."""
    wide = None if bias is None else bias.float()
    return torch.ops.mkldnn._linear_pointwise(x.float(), packed, wide, "none", [], "").to(x.dtype)  # type: ignore[no-any-return]


def _gains(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu" or min(weight.shape) <= _NARROW:
        return False
    return weight.dtype is torch.float32 or (weight.dtype is torch.bfloat16 and emulates_bf16(weight.device))


def _packs() -> bool:
    """Whether this build of torch has oneDNN and its operations for packed weights."""
    ours = ("_linear_pointwise", "_reorder_linear_weight")
    return torch._C._has_mkldnn and all(hasattr(torch.ops.mkldnn, name) for name in ours)


def _pack(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.float(), _HINT)  # type: ignore[no-any-return]


def _replace(layer: Any, forward: Any) -> None:
    layer.forward = forward


def _packed(layer: Any, packed: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    rows, wanted = x.numel() // x.shape[-1], x.dtype is layer.weight.dtype
    few = _FEW_WIDE if x.dtype is torch.bfloat16 else _FEW
    if rows < few or not wanted or torch.is_grad_enabled():
        return torch.nn.functional.linear(x, layer.weight, layer.bias)
    return packed_product(x, packed, layer.bias)


def _widened(layer: Any, x: torch.Tensor) -> torch.Tensor:
    rows = x.numel() // x.shape[-1]
    if rows < _FEW_WIDE or x.dtype is not torch.bfloat16:
        return torch.nn.functional.linear(x, layer.weight, layer.bias)
    return product(x, layer.weight, layer.bias)
