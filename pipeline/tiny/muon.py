"""Muon: momentum whose matrices are orthogonalised before they are applied (Jordan 2024, kellerjordan.github.io/posts/
muon). On this model it needs about half the steps of AdamW; matrices of one shape are worked on together, in fp32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315  # the quintic of the source: singular values come close to 1 in five rounds
_ROUNDS = 5


class Muon:
    """One learning rate for every 2-D parameter given; embeddings, norms and biases belong to another optimiser."""

    def __init__(self, parameters: Iterable[Any], momentum: float = 0.95, decay: float = 0.05) -> None:
        self.momentum, self.decay = momentum, decay
        self._groups: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for parameter in parameters:
            self._groups[tuple(parameter.shape)].append(parameter)
        self._memory = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (rows, columns), group in self._groups.items():
            gradient = torch.stack([parameter.grad for parameter in group])
            memory = self._memory[rows, columns].lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(memory, self.momentum)) * max(1.0, rows / columns) ** 0.5
            for parameter, change in zip(group, update, strict=True):
                parameter.mul_(1 - rate * self.decay).sub_(change, alpha=rate)


def orthogonal(matrices: Any) -> Any:
    """The nearest matrices with singular values of about 1. matrices: [count, rows, columns]."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * (square @ square)) @ x
    return x.mT if tall else x
