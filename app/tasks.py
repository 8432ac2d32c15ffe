"""Ending tasks."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 1.0


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until every one of them is over; what they failed with is forgotten.

    Once is not enough: cancelling closes connections, and a task that is told of a broken one instead of the
    cancelling takes it for a failure and tries again.
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
