"""numpy by another name, loaded when the first line of a log is looked at: the first frame need not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import *  # noqa: F403  (never run: it tells the type checker that the names are those of numpy)
else:

    def __getattr__(name: str) -> Any:
        import numpy as np  # 0.1 s

        return globals().setdefault(name, getattr(np, name))
