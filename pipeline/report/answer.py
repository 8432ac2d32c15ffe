"""The first paragraph of a report: what came out, in plain words, whether it is good news or not."""

from __future__ import annotations

from pipeline.gates import Decision
from pipeline.protocol import Rate, Verdict
from pipeline.report.wording import interval, p_value, percent, points

_HEADS = {
    Verdict.PASS: "passed its gate",
    Verdict.FAIL: "did not pass its gate",
    Verdict.INCONCLUSIVE: "did not pass its gate: the result is neither a failure nor a proof",
    Verdict.NO_HEADROOM: "had nothing to teach: the untrained model already clears the gate",
    Verdict.REGRESSION: "did not pass its gate: an earlier stage's skill was lost",
    Verdict.INVALID: "has no valid result: none of its numbers may be relied on",
    Verdict.MISSING: "has no verdict: a required result is missing, and missing is not success",
}


def answer(stage: int, decision: Decision | None) -> str:
    """Verdict, rates and comparison of one stage as running text."""
    if decision is None:
        return (
            f"Stage {stage} has no verdict yet: its gate has not been decided. Whatever was measured so far is below."
        )
    head = f"Stage {stage} ({decision.name}) {_HEADS[decision.verdict]}."
    if decision.verdict in (Verdict.INVALID, Verdict.MISSING):
        return f"{head} The reason: {decision.reason}."
    tuned, base = decision.rates.get("tuned"), decision.rates.get("base-formatted")
    few_shot = _few_shot(decision, tuned)
    sentences = [head, _level(decision, tuned), _start(base), _lift(decision, tuned, base), few_shot]
    if decision.verdict is not Verdict.PASS:
        sentences.append(f"What decided: {decision.reason}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _level(decision: Decision, tuned: Rate | None) -> str:
    wanted = percent(decision.threshold)
    asked = f"{wanted} was asked" if decision.detail.get("level_decides", True) else f"{wanted} was hoped for"
    if tuned is None:
        return f"The base model reaches {percent(decision.rate)} where {asked}; nothing was trained."
    if decision.low is None:
        counts = f"{tuned.successes} of the {tuned.trials} held-out instructions seen"
        return f"The evaluation was stopped early, once it could no longer pass, with {counts} right; {asked}."
    shown = f"{percent(decision.rate)}, 95 % interval {interval(decision.low, decision.high)}"
    counts = f"{tuned.successes} of {tuned.trials} held-out instructions"
    return f"After training, the model answers {counts} right and stops by itself ({shown}); {asked}."


def _start(base: Rate | None) -> str:
    if base is None:
        return ""
    return (
        f"Before training, on the same prompts, it had {base.successes} of {base.trials} right in that strict sense, "
        f"and {base.lenient_successes} when its answers were cut where it ran on."
    )


def _lift(decision: Decision, tuned: Rate | None, base: Rate | None) -> str:
    tests = decision.detail.get("comparisons") or []
    if tuned is None or base is None or not tests or decision.p is None:
        return ""
    test, alpha = tests[0], decision.detail.get("alpha", 0.01)
    other, _, scoring = str(test["b"]).rpartition(" ")
    alike = "Scored alike (both cut)" if scoring == "lenient" else "Scored alike (both as they stand)"
    against = " against the stage before" if other == "previous" else ""
    like = f"{alike}{against}, {test['successes_b']} became {test['successes_a']} of {test['n']}"
    size = f"{points(test['lift'])} points"
    if test.get("low") is not None and test.get("high") is not None:
        size += f", 95 % interval {points(test['low'])} to {points(test['high'])}"
    if test["lift"] > 0 and decision.p < alpha:
        return f"{like} ({size}): a real improvement in following instructions (p = {p_value(decision.p)})."
    return (
        f"{like} ({size}), which chance could explain (p = {p_value(decision.p)}; p < {alpha:g} was asked)."
        if (test["lift"] >= 0)
        else f"{like} ({size}): the model became worse (p = {p_value(decision.p)})."
    )


def _few_shot(decision: Decision, tuned: Rate | None) -> str:
    """The bar that training has to beat without any prompt: the same base model shown worked examples."""
    shown = decision.rates.get("base-few-shot")
    if tuned is None or shown is None:
        return ""
    words = f"Shown worked examples in its prompt, the untrained model has {shown.successes} of {shown.trials} right"
    if tuned.successes < shown.successes:
        return f"{words}: training without examples has not caught up with that."
    return f"{words}; the trained one reaches {tuned.successes} without any."
