"""The losses of preference training by name: how TRL is told, and what each is worth before the first update.

`sigmoid` (DPO, arXiv 2305.18290), `sigmoid_norm` (the same on log-ratios a token, Tülu 3, arXiv 2411.15124), `ipo`
(arXiv 2310.12036), `robust` (arXiv 2403.00409, smoothing = share of flipped labels), `orpo` (arXiv 2403.07691, no
reference). `sft` adds the chosen answers' mean -log p a token, against likelihood displacement.
"""

from __future__ import annotations

import math
from typing import Any

from pipeline.recipe import Dpo


def preference(dpo: Dpo) -> tuple[str, float]:
    """Name and weight of the preference term."""
    return dpo.loss[0], dpo.loss_weights[0]


def sft_weight(dpo: Dpo) -> float:
    """Weight of the term on chosen answers; 0.0 without one."""
    return dict(zip(dpo.loss, dpo.loss_weights, strict=True)).get("sft", 0.0)


def arguments(dpo: Dpo) -> dict[str, Any]:
    """What TRL's DPO configuration is told about the preference term; the `sft` term is `preference`'s own."""
    name, weight = preference(dpo)
    return {"beta": dpo.beta, "loss_type": [name], "loss_weights": [weight], "label_smoothing": dpo.label_smoothing}


def start_value(dpo: Dpo) -> float | None:
    """The preference term where policy and reference are equal; None for a loss without a reference.

    Smoothing does not move `robust`: ((1-ε) ln 2 - ε ln 2) / (1-2ε) = ln 2.
    """
    name = dpo.loss[0]
    if name == "orpo":
        return None
    return (1 / (2 * dpo.beta)) ** 2 if name == "ipo" else math.log(2)
