"""Money: price now, this session, all sessions. Unknown is a dash or the word; `≈` until the provider has confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from textual.content import Content

from app.reduce import OFF
from app.state import CostView, PodView
from app.tui import fmt
from app.tui.picture import Picture
from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, Panel, text


def per_hour(cost: CostView, pod: PodView | None) -> str:
    """`$1.74/h`; the pod's own price while the meter has none; `$?/h` when nobody knows."""
    billed = pod is not None and pod.status not in OFF  # the price of a stopped pod is not what its disk costs
    price = cost.per_hour if cost.per_hour is not None or pod is None or not billed else pod.cost_per_hour
    return "$?/h" if price is None else f"{fmt.money(price)}/h"


def spent(usd: Decimal | None, estimated: bool, glyphs: Glyphs) -> str:
    """`$6.21`, `≈$6.21` while it is our own reckoning."""
    return fmt.money(usd) if usd is None or not estimated else f"{glyphs.about}{fmt.money(usd)}"


class CostMeter(Panel):
    """The COST pane."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        known = picture.state.cost.session is not None or picture.state.cost.total is not None
        about = f"{picture.glyphs.about} our reckoning" if picture.state.cost.estimated and known else ""
        return text(("COST", "bold")), text((about, MUTED))

    def draw(self, picture: Picture, _width: int, _height: int) -> Sequence[Content]:
        cost, pod, g = picture.state.cost, picture.state.pod, picture.glyphs
        lines = [
            text((f"{'now':<9}", MUTED), (per_hour(cost, pod), "bold")),
            text((f"{'session':<9}", MUTED), spent(cost.session, cost.estimated, g)),
            text((f"{'total':<9}", MUTED), spent(cost.total, cost.estimated, g)),
        ]
        eta = picture.step.eta_s if picture.step else None
        at_end = cost.at_end(eta)
        if eta is not None and at_end is not None:
            lines.append(text((f"{'step end':<9}", MUTED), spent(at_end, True, g), (f"  in {fmt.span(eta)}", MUTED)))
        if cost.per_hour is not None and cost.per_hour > 0:
            lines.append(text((f"{'if x now':<9}", MUTED), f"saves {fmt.money(cost.per_hour)}/h"))
        elif cost.per_hour is not None:
            lines.append(text(("this pod costs nothing", MUTED)))
        return lines
