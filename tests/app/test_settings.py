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
    ("text", "told"), [("budget_usd = -1", "budget_usd"), ("provider = 5", "provider"), ("= 5", "TOML")]
)
def test_an_impossible_value_is_named(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=told):
        load(tmp_path, {})


def test_a_wrong_variable_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MAXCAI_BUDGET_USD"):
        load(tmp_path, {"MAXCAI_BUDGET_USD": "much"})
