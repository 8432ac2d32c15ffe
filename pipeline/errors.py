"""The root of the package's exceptions that a person reads: each message names the thing, the cause and the remedy."""

from __future__ import annotations


class PipelineError(Exception):
    """Shown without a traceback. `exit_code` is what `python -m pipeline` ends with (protocol.EXIT_*)."""

    exit_code = 1


class UsageError(PipelineError):
    """What was asked for makes no sense as it stands."""

    exit_code = 2


class DiskFullError(PipelineError):
    """A write found no room. Everything committed before it still counts."""


class Stopped(Exception):
    """The run was asked to stop (signal, budget, deadline). All committed work is kept; the step resumes later."""


class StepError(Exception):
    """A step cannot succeed, and the person should know why: what, cause, remedy. Shown without a traceback."""


class DataQualityError(StepError):
    """A quality gate of a data set was breached."""
