"""Ctrl+c ends what goes on beside the screen, also what takes the closing of its link for a failure."""

from __future__ import annotations

import asyncio

import pytest

from app import tasks
from app.tasks import ended


async def test_a_task_that_takes_its_cancelling_for_a_broken_link_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    tries = 0

    async def stubborn() -> None:
        nonlocal tries
        while True:
            tries += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if tries > 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await ended(task)
    assert tries == 3
    assert task.cancelled()


async def test_what_a_task_failed_with_is_not_raised() -> None:
    async def fails() -> None:
        raise OSError("gone")

    over = asyncio.create_task(fails())
    await asyncio.wait((over,))
    await ended(over)
    await ended()
