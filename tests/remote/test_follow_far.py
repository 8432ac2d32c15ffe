"""A log that is written fast and rotated on a real OpenSSH server is the same here, whatever the link does meanwhile.

The same at full size, a minute at 50,000 lines a second, is `python -m benchmarks.follow`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.follow import Trial, perform


@pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") is None, reason="there is no sshd here")
async def test_a_fast_log_under_cuts_silences_and_rotations_arrives_byte_for_byte(tmp_path: Path) -> None:
    trial = Trial(rate=20_000, seconds=2.0, rotate_s=0.3, cut_bytes=1_500_000, silence_s=3.0, keepalive_s=0.25, seed=4)
    found = await perform(trial, tmp_path)
    assert found["equal"], found
    assert found["arrived"]["gaps"] == 0
    assert found["written"]["renamed"] >= 2 and found["written"]["copied_and_emptied"] >= 2
    assert found["link"]["silent"] >= 1 and found["link"]["reset"] + found["link"]["finished"] >= 1, found
