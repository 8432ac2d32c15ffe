"""Which curves of a run are drawn: loss, reward, tokens per second, the gate's rate. Pure."""

from __future__ import annotations

from app.tui import fmt
from app.tui.picture import Picture, step_name
from app.tui.series import TOKENS
from app.tui.widgets.plot import Plot

_REWARDS = ("rewards/margins", "reward/margins", "rewards/accuracies", "reward", "preference/accuracy")


def newest(picture: Picture, wanted: tuple[str, ...]) -> str | None:
    """The key of the newest series that has one of these names, of the step that runs if it has one."""
    keys = [key for key in picture.series.keys() if key.partition(" ")[2] in wanted]  # noqa: SIM118
    step = picture.step.step if picture.step else None
    own = [key for key in keys if key.partition(" ")[0] == step]
    found = own or keys
    return found[-1] if found else None


def loss(picture: Picture) -> Plot | None:
    """Training loss of the newest step that has one."""
    key = newest(picture, ("loss",))
    return None if key is None else Plot(_title(key), picture.series.values(key))


def reward(picture: Picture) -> Plot | None:
    """Reward margin of preference training, or what stands for it."""
    for name in _REWARDS:
        key = newest(picture, (name,))
        if key is not None:
            return Plot(_title(key), picture.series.values(key))
    return None


def throughput(picture: Picture) -> Plot | None:
    """Tokens per second as the heartbeats told."""
    values = picture.series.values(TOKENS)
    if not values:
        return None
    live = picture.run is not None and picture.run.state == "running" and picture.run.tokens_per_s is not None
    said = fmt.count(values[-1]) if live else f"{fmt.count(values[-1])} last"
    return Plot("tokens/s", values, low=0.0, said=said)


def rate(picture: Picture) -> Plot | None:
    """The tuned model's strict rate at each gate in turn, with the newest gate's threshold."""
    run = picture.run
    gates = (
        sorted((gate for gate in run.gates if gate.rate is not None), key=lambda g: (g.stage, g.attempt)) if run else []
    )
    if not gates:
        return None
    last = gates[-1]
    threshold = None if last.threshold is None else 100 * last.threshold
    values = [None if gate.rate is None else 100 * gate.rate for gate in gates]
    return Plot("gate rates", values, threshold, 0.0, 100.0, f"{last.name} {fmt.percent(last.rate)}")


def _title(key: str) -> str:
    step, _, name = key.partition(" ")
    stage = step.partition("/")[0].removeprefix("stage-")
    return f"{name.replace('/', ' ')} {stage}/{step_name(step)}"
