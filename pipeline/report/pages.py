"""The template environments: one that escapes every value for Markdown, one that escapes every value for HTML.

Each is made once a process: templates are compiled on first use, and a report with its cards uses some of them often.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.report import wording


@lru_cache(maxsize=1)
def markdown_environment() -> jinja2.Environment:
    """Every value is escaped for Markdown unless it is `wording.Markdown`."""
    environment = _environment(autoescape=False, finalize=wording.escape_markdown)
    environment.filters["code"] = wording.code
    return environment


@lru_cache(maxsize=1)
def html_environment() -> jinja2.Environment:
    """Autoescaping; only plots drawn by this package pass as markup."""
    environment = _environment(autoescape=True, finalize=_known)
    environment.filters["svg"] = Markup
    return environment


def _environment(autoescape: bool, finalize: Any) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report", "."),
        autoescape=autoescape,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "interval": wording.bounds,
        "p_value": wording.p_value,
        "number": wording.number,
        "duration": wording.duration,
        "dollars": wording.dollars,
        "one_line": wording.one_line,
        "whole": wording.whole,
        "value": _value,
    }
    return environment


def _known(value: Any) -> Any:
    return wording.MISSING if value is None else value


def _value(value: Any) -> str:
    """Any scalar of a facts table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return wording.number(value) if value is None or isinstance(value, int | float) else wording.one_line(value)
