"""The steps by name. A new step is one file here and one line below; importing this loads no torch."""

from __future__ import annotations

from pipeline.steps import (
    answer,
    baseline,
    critique,
    dpo,
    evaluate,
    filter,
    gate,
    generate,
    merge,
    pairs,
    revise,
    sft,
)
from pipeline.steps.base import Step

_MODULES = (evaluate, baseline, generate, answer, revise, critique, filter, sft, pairs, dpo, gate, merge)
STEPS: dict[str, Step] = {module.STEP.name: module.STEP for module in _MODULES}
