"""Stage 1: follow explicit, unambiguous instructions. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
from pipeline.stages.families import FAMILIES

STAGE = Stage(number=1, name="explicit", families=FAMILIES, gate=Gate(threshold=0.95))
