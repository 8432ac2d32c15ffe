"""What can go wrong with a model, told to a person."""

from __future__ import annotations

from pipeline.errors import StepError


class ModelError(StepError):
    """The model cannot be had or must not be used: what, cause; and the remedy.

    Args:
        message: what is wrong.
        remedy: what the person does next.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}" if remedy else message)
