"""Critics are measured on labelled answers before anything is kept on their word."""

from __future__ import annotations

import random

import pytest

from pipeline.data.critics import Calibration, Evidence, auc, calibrate


def block(seed: int, informative: bool = True, families: tuple[str, ...] = ("a", "b")) -> list[Evidence]:
    rng = random.Random(seed)
    made = []
    for i in range(200):
        right = rng.random() < 0.5
        signal = (1.0 if right else -1.0) if informative else 0.0
        made.append(Evidence(families[i % len(families)], rng.gauss(signal, 0.5), rng.gauss(-1, 0.2), 0.5, right))
    return made


def test_auc_by_hand() -> None:
    assert auc([3, 2, 1], [True, True, False]) == 1.0
    assert auc([1, 2, 3], [True, True, False]) == 0.0
    assert auc([1, 1], [True, False]) == 0.5
    assert auc([1, 2], [True, True]) is None


def test_a_good_critic_reaches_the_wanted_precision_on_answers_it_never_saw() -> None:
    model = calibrate(block(1), 0.95)
    assert model.precision is not None and model.precision >= 0.9
    fresh = [e for e in block(2) if model.score(e) >= model.threshold]
    assert len(fresh) > 60
    assert sum(bool(e.right) for e in fresh) / len(fresh) > 0.9


def test_a_blind_critic_is_named_and_its_precision_is_not_made_up() -> None:
    model = calibrate(block(3, informative=False), 0.99)
    assert model.precision is not None and model.precision < 0.99
    assert any(row["blind"] for row in model.table["families"].values())


def test_a_family_that_is_always_wrong_is_not_kept() -> None:
    rng = random.Random(4)
    labelled = [Evidence("good", rng.gauss(0, 1), -1, 0.5, True) for _ in range(40)]
    labelled += [Evidence("bad", rng.gauss(0, 1), -1, 0.5, False) for _ in range(40)]
    model = calibrate(labelled, 0.9)
    assert model.score(Evidence("good", 0, -1, 0.5)) > model.threshold > model.score(Evidence("bad", 0, -1, 0.5))


def test_a_calibration_survives_its_file() -> None:
    model = calibrate(block(5), 0.9)
    again = Calibration.from_dict(model.as_dict())
    one = block(6)[0]
    assert again.score(one) == pytest.approx(model.score(one))
    assert again.threshold == model.threshold
