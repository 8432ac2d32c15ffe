"""Settings: file < environment < flags, and mistakes named with file, key and remedy."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from app.errors import SettingsError, sentence
from app.settings import load


def write(root: Path, text: str) -> None:
    (root / "maxcai.toml").write_text(text)


def test_nothing_written_means_the_local_pod(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert (settings.provider, settings.recipe, settings.budget_usd) == ("local", "demo", None)


def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path: Path) -> None:
    write(tmp_path, 'provider = "a"\nrecipe = "a"\nbudget_usd = 5')
    settings = load(tmp_path, {"MAXCAI_PROVIDER": "b", "MAXCAI_RECIPE": "b"}, {"provider": "c", "recipe": None})
    assert (settings.provider, settings.recipe, settings.budget_usd) == ("c", "b", Decimal(5))


def test_an_unknown_key_names_file_key_and_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "buget_usd = 5")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    told = sentence(caught.value)
    assert str(tmp_path / "maxcai.toml") in told
    assert "unknown key buget_usd" in told
    assert "Did you mean budget_usd?" in told
    assert caught.value.exit_code == 2


def test_a_variable_that_is_nearly_a_setting_is_refused_and_others_are_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, {"MAXCAI_CACHE_DIR": "/x", "MAXCAI_LOCAL_PRICE": "1"}).provider == "local"
    with pytest.raises(SettingsError, match="MAXCAI_BUGDET_USD is unknown"):
        load(tmp_path, {"MAXCAI_BUGDET_USD": "5"})


@pytest.mark.parametrize(
    "text", ['RUNPOD_API_KEY = "x"', '[pod]\napi_key = "x"', 'recipe = "rpa' + '_ABCDEFGHIJKLMNOP"', 'hf_token = "x"']
)
def test_credentials_in_the_file_are_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match="credential") as caught:
        load(tmp_path, {})
    assert "rpa_ABC" not in sentence(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("budget_usd = -1", "budget_usd: expected dollars, got -1"),
        ("budget_usd = nan", "budget_usd"),
        ("[budget]\nrun = inf", "budget.run"),
        ('[budget]\nrun = "much"', "budget.run"),
        ("provider = 5", "provider: expected str, got int, got 5"),
        ('provider = ""', "provider: expected str of length >= 1"),
        ("guard = 5", "guard: expected table"),
        ("[guard]\nmax_hours = -1", "guard.max_hours: expected float >= 0"),
        ("[guard]\nmax_hours = nan", "guard.max_hours"),
        ("[guard]\nmax_hours = inf", "guard.max_hours"),
        ("[guard]\nmax_hours = true", "guard.max_hours"),
        ("[guard]\ntick_seconds = 0", "guard.tick_seconds"),
        ("[runpod]\ngpus = [1]", "runpod.gpus"),
        ('[runpod]\nmount = "workspace"', "runpod.mount"),
        ('[keys]\n"pod.stop" = 5', "keys"),
        ("= 5", "TOML"),
    ],
)
def test_an_impossible_value_is_named(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=told):
        load(tmp_path, {})


def test_a_wrong_variable_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MAXCAI_BUDGET_USD"):
        load(tmp_path, {"MAXCAI_BUDGET_USD": "much"})


def test_zero_switches_a_rule_off_and_a_word_is_a_list_of_one(tmp_path: Path) -> None:
    write(
        tmp_path, '[guard]\nmax_hours = 0\nlease_minutes = 0.0\n[budget]\nrun = 0\n[runpod]\ngpus = "X"\nvolume_gb = 0'
    )
    settings = load(tmp_path, {"MAXCAI_GUARD_IDLE_MINUTES": "0", "MAXCAI_BUDGET_DAY": "0"})
    assert (settings.guard.max_hours, settings.guard.lease_minutes, settings.guard.idle_minutes) == (None, None, None)
    assert (settings.budget.run, settings.budget.day) == (None, None)
    assert (settings.runpod.gpus, settings.runpod.volume_gb) == (("X",), None)


def test_dollars_are_exact_from_file_and_environment(tmp_path: Path) -> None:
    write(tmp_path, "[budget]\nrun = 0.1\nday = 7")
    settings = load(tmp_path, {"MAXCAI_BUDGET_TOTAL": "12.30"})
    assert (settings.budget.run, settings.budget.day) == (Decimal("0.1"), Decimal(7))
    assert settings.budget.total == Decimal("12.30")
