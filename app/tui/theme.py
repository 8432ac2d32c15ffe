"""The panel's own dark and light themes and its two sets of one-cell glyphs (Unicode and ASCII).

Widgets name theme variables and glyph fields only; no colour and no symbol is written anywhere else.
"""

from __future__ import annotations

import locale
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from textual.app import App
from textual.reactive import Reactive
from textual.theme import Theme

DARK = Theme(
    name="maxcai-dark",
    primary="#63b3dd",
    secondary="#8fa3c4",
    accent="#d8a657",
    success="#7fc28b",
    warning="#e6b450",
    error="#f07178",
    foreground="#d7dee8",
    background="#0e1319",
    surface="#141b23",
    panel="#1d2733",
    dark=True,
    variables={"border": "#34465a", "border-blurred": "#2a3745", "footer-key-foreground": "#d8a657"},
)

LIGHT = Theme(
    name="maxcai-light",
    primary="#145f8c",
    secondary="#4a5f80",
    accent="#8a5a00",
    success="#1f7030",
    warning="#8f5b00",
    error="#b3221b",
    foreground="#1d242c",
    background="#fbfaf6",
    surface="#f3f1ea",
    panel="#e6e3d8",
    dark=False,
    variables={"border": "#b9b39f", "border-blurred": "#cfcabb", "footer-key-foreground": "#8a5a00"},
)

FIRST: Reactive[str] = Reactive(DARK.name, init=False)
"""A panel's theme. Textual's own is announced once at the start, and every style sheet read a second time for it."""


def begin_with(app: App[Any], asked: str) -> None:
    """Register our themes and give a panel that does not run yet the one asked for, or the dark one."""
    for theme in (DARK, LIGHT):
        app.register_theme(theme)
    app.set_reactive(type(app).theme, asked if asked in app.available_themes else DARK.name)
    app.stylesheet.set_variables(app.get_css_variables())
    dark = app.current_theme.dark
    app.update_classes({f"-theme-{app.theme}": True, "-dark-mode": dark, "-light-mode": not dark}, update=False)


class Glyphs(Struct, frozen=True):
    """Symbols that carry state beside a word; each is one cell wide in the Unicode set."""

    on: str = "●"
    wait: str = "◌"
    off: str = "■"
    bad: str = "✖"
    done: str = "✔"
    now: str = "▶"
    todo: str = "○"
    skip: str = "–"
    gate: str = "◇"
    passed: str = "◆"
    warn: str = "!"
    info: str = "·"
    into: str = "▸"
    follow: str = "▼"
    about: str = "≈"
    least: str = "≥"
    dash: str = "–"
    dot: str = "·"
    full: str = "█"
    parts: str = "▏▎▍▌▋▊▉"
    empty: str = "░"
    sparks: str = "▁▂▃▄▅▆▇█"
    line: str = "─"
    mark: str = "│"
    up: str = "↑"
    down: str = "↓"
    ascii: bool = False


UNICODE = Glyphs()
ASCII = Glyphs(
    on="*",
    wait="~",
    off="#",
    bad="x",
    done="ok",
    now=">",
    todo="o",
    skip="-",
    gate="<>",
    passed="<+>",
    info="-",
    into=">",
    follow="v",
    about="~",
    least=">=",
    dash="-",
    dot="-",
    full="#",
    parts="",
    empty=".",
    sparks="_.-=+*%#",
    line="-",
    mark="|",
    up="^",
    down="v",
    ascii=True,
)


def wants_ascii(environ: Mapping[str, str], encoding: str | None = None) -> bool:
    """Whether only ASCII may be drawn: asked for by `MAXCAI_ASCII`, or the locale cannot carry more."""
    asked = environ.get("MAXCAI_ASCII", "").strip().lower()
    if asked:
        return asked not in ("0", "no", "false")
    return "utf" not in (encoding or locale.getpreferredencoding(False)).lower()
