"""The POD pane: which machine, in what state, how it is reached."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.widgets.panel import MUTED, Panel, text
from app.tui.widgets.signs import link_sign, pod_sign


class PodPanel(Panel):
    """The pod that keys act on."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        pod = picture.state.pod
        name = clean(pod.name) if pod else clean(picture.state.provider)
        asked = (
            text(("never asked", MUTED))
            if picture.pod_age is None
            else text((f"{fmt.age(picture.pod_age)} ago", MUTED))
        )
        if picture.pod_stale:
            asked = text((f"stale {fmt.age(picture.pod_age)}", "bold $warning"))
        return text(("POD ", "bold"), name), asked

    def draw(self, picture: Picture, _width: int, _height: int) -> Sequence[Content]:
        state, pod, g = picture.state, picture.state.pod, picture.glyphs
        if pod is None:
            what = "s starts it" if state.provider == "local" else "s rents one: its price first"
            how = text((what, MUTED)) if picture.acts else text("")
            return [pod_sign(None, g), text((f"provider {clean(state.provider)}", MUTED)), how]
        up = "" if picture.pod_up is None else f"  up {fmt.age(picture.pod_up)}"
        address = "–" if pod.host is None else f"{clean(pod.host)}:{pod.port if pod.port is not None else '?'}"
        gpu = (
            "none"
            if pod.gpu_count == 0
            else "unknown"
            if pod.gpu is None
            else f"{pod.gpu_count or 1} {g.dot} {clean(pod.gpu)}"
        )
        key = {True: "verified", False: "NOT VERIFIED", None: "unknown"}[state.link.verified]
        return [
            text(pod_sign(pod, g), (up, MUTED)),
            text(("id     ", MUTED), clean(pod.id), (f"  {clean(pod.provider)}", MUTED)),
            text(("gpu    ", MUTED), gpu),
            text(("at     ", MUTED), address),
            text(("link   ", MUTED), link_sign(state.link, picture.now, g)),
            text(("key    ", MUTED), (key, "bold $error" if state.link.verified is False else "")),
            *([text((clean(state.link.error), "$error"))] if state.link.error else []),
        ]
