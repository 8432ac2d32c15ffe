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
    judge,
    merge,
    pairs,
    reference,
    revise,
    safety,
    sft,
)
from pipeline.steps.base import Step

_MODULES = (evaluate, baseline, generate, answer, revise, safety, critique, filter, sft, pairs, dpo, judge, gate, merge)
STEPS: dict[str, Step] = {
    step.name: step for step in (*(module.STEP for module in _MODULES), reference.REFERENCE, reference.ALT_BASE)
}
