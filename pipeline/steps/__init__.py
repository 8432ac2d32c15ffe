"""The steps by name. A new step is one file here and one line below; importing this loads no torch."""

from __future__ import annotations

from pipeline.steps import answer, critique, dpo, evaluate, filter, gate, generate, pairs, sft
from pipeline.steps.base import Step

STEPS: dict[str, Step] = {
    module.STEP.name: module.STEP for module in (evaluate, generate, answer, critique, filter, sft, pairs, dpo, gate)
}
