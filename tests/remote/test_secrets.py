"""The key is found where it is documented to be, and shown nowhere."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from remote.errors import ConfigError
from remote.secrets import (
    Redactor,
    from_environment,
    looks_secret,
    parse_env,
    require_runpod_key,
    runpod_key,
)

KEY = "rpa_" + "0123456789abcdefghijklmnop"


class Keyring(ModuleType):
    """A keyring in memory; `trouble` is what its backend raises."""

    def __init__(self, trouble: Exception | None = None) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.trouble = trouble

    def get_password(self, service: str, name: str) -> str | None:
        if self.trouble:
            raise self.trouble
        return self.kept.get((service, name))


@pytest.fixture(autouse=True)
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """No test asks the keyring of whoever runs it."""
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    return keyring


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env.runpod").write_text("RUNPOD_API_KEY=rpa_from_the_file_000000\n")
    found = runpod_key(tmp_path, {"RUNPOD_API_KEY": KEY})
    assert found is not None
    assert found.value == KEY
    found = runpod_key(tmp_path, {"RUNPOD_API_KEY": " "})
    assert found is not None
    assert found.value == "rpa_from_the_file_000000"


def test_no_key_is_none_and_an_empty_one_too(tmp_path: Path) -> None:
    assert runpod_key(tmp_path, {}) is None
    (tmp_path / ".env.runpod").write_text("# nothing yet\nRUNPOD_API_KEY=\n")
    assert runpod_key(tmp_path, {}) is None


def test_a_key_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / ".env.runpod"
    path.write_text(f"RUNPOD_API_KEY={KEY}\n")
    path.chmod(0o640)
    found = runpod_key(tmp_path, {})
    assert found is not None
    assert found.warning is not None
    assert "chmod 600" in found.warning
    path.chmod(0o600)
    found = runpod_key(tmp_path, {})
    assert found is not None
    assert found.warning is None


def test_an_unreadable_key_file_is_an_error_not_no_key(tmp_path: Path) -> None:
    (tmp_path / ".env.runpod").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"\.env\.runpod cannot be read"):
        runpod_key(tmp_path, {})


def test_the_sources_are_searched_in_order_and_the_key_says_which_it_is_from(tmp_path: Path, keyring: Keyring) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    (home / ".runpod").mkdir(parents=True)
    workspace.mkdir()
    environ = {"HOME": str(home)}
    config = home / ".runpod/config.toml"
    config.write_text('[default]\napi_key = "from-the-library"\n')
    config.chmod(0o600)
    found = [runpod_key(workspace, environ)]
    keyring.kept["maxcai", "runpod"] = "from-the-keyring\n"
    found.append(runpod_key(workspace, environ))
    (workspace / ".env.runpod").write_text("RUNPOD_API_KEY=from-the-file\n")
    found.append(runpod_key(workspace, environ))
    found.append(runpod_key(workspace, {**environ, "RUNPOD_API_KEY": "from-the-environment"}))
    values = [secret.value if secret else None for secret in found]
    assert values == ["from-the-library", "from-the-keyring", "from-the-file", "from-the-environment"]
    sources = [secret.source if secret else "" for secret in found]
    assert sources == [
        str(config), 'keyring (service "maxcai", name "runpod")', str(workspace / ".env.runpod"),
        "environment variable RUNPOD_API_KEY",
    ]  # fmt: skip


@pytest.mark.parametrize("trouble", [RuntimeError("locked"), OSError("no D-Bus"), KeyError("x")])
def test_a_locked_keyring_is_passed_over_and_named_when_there_is_no_key_at_all(
    tmp_path: Path, keyring: Keyring, trouble: Exception
) -> None:
    keyring.trouble = trouble
    assert runpod_key(tmp_path, {}) is None
    with pytest.raises(ConfigError, match=f"keyring could not be asked: {type(trouble).__name__}") as refused:
        require_runpod_key(tmp_path, {})
    assert ".env.runpod" in refused.value.hint
    (tmp_path / ".runpod").mkdir()
    (tmp_path / ".runpod/config.toml").write_text(f'[default]\napi_key = "{KEY}"\n')
    assert require_runpod_key(tmp_path / "work", {"HOME": str(tmp_path)}).value == KEY


def test_a_keyring_that_is_not_installed_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # its import fails
    assert runpod_key(tmp_path, {}) is None
    with pytest.raises(ConfigError, match=r"was found\.$"):
        require_runpod_key(tmp_path, {})


def test_a_broken_file_of_the_library_is_an_error_that_shows_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / ".runpod").mkdir()
    path = tmp_path / ".runpod/config.toml"
    for text in (f"[default]\napi_key = {KEY}\n", f"{KEY}"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="no valid TOML") as refused:
            runpod_key(tmp_path, {"HOME": str(tmp_path)})
        assert KEY not in shown(refused.value)
    for text in ("", "[default]\n", "default = 3\n", "[default]\napi_key = 7\n", "[other]\napi_key = 'x'\n"):
        path.write_text(text)
        assert runpod_key(tmp_path, {"HOME": str(tmp_path)}) is None
    path.write_text(f"[default]\napi_key = '{KEY}'\n")
    path.chmod(0o644)
    found = runpod_key(tmp_path, {"HOME": str(tmp_path)})
    assert found is not None
    assert "chmod 600" in (found.warning or "")


def shown(error: BaseException | None) -> str:
    """Everything that an error, and those it hangs on to, could print."""
    found = ""
    while error is not None:
        found += repr(error) + str(vars(error)) + "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return found


def test_a_key_does_not_print_itself(tmp_path: Path) -> None:
    found = runpod_key(tmp_path, {"RUNPOD_API_KEY": KEY})
    assert KEY not in f"{found} {found!r} {[found]}"


def test_an_env_file_is_read_and_never_executed() -> None:
    text = "export A=1\nB = 'x # y'\nC=a # note\nD=\"q\"\nE=$(touch /tmp/never)\n#F=1\nbad line\nG='\n"
    assert parse_env(text) == {"A": "1", "B": "x # y", "C": "a", "D": "q", "E": "$(touch /tmp/never)", "G": "'"}


@pytest.mark.parametrize(
    "secret",
    [KEY, "hf_" + "abcdefghijklmnopqrst", "sk-" + "abcdefghijklmnopqrst", "AKIA" + "ABCDEFGHIJKLMNOP",
     "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\ncut"],
)  # fmt: skip
def test_known_forms_of_tokens_are_hidden_wherever_they_stand(secret: str) -> None:
    text = Redactor()(f"before {secret} after")
    assert secret not in text
    assert text.startswith("before [redacted]")


def test_registered_values_are_hidden_and_short_ones_left_alone() -> None:
    redact = Redactor(["swordfish-1", "swordfish-1-long", "a"])
    assert redact("a swordfish-1-long and swordfish-1") == "a [redacted] and [redacted]"
    assert redact.tree({"swordfish-1": ["swordfish-1", 3, None]}) == {"[redacted]": ["[redacted]", 3, None]}


def test_text_that_only_names_the_forms_stays_readable() -> None:
    text = "tokens begin with rpa_ or hf_ or sk-, keys with AKIA, task-list, monkey"
    assert Redactor()(text) == text


def test_secret_variables_are_recognised_by_name_or_form() -> None:
    assert all(
        looks_secret(name, "x") for name in ("HF_TOKEN", "RUNPOD_API_KEY", "MAXCAI_KEYS", "DB_PASSWORD", "X_SECRET")
    )
    assert looks_secret("MAXCAI_NOTE", KEY)
    assert not any(looks_secret(name, "1") for name in ("HF_HOME", "OMP_NUM_THREADS", "MAXCAI_KEYMAP", "MONKEY"))
    assert (
        from_environment({"HF_TOKEN": "secretvalue", "HOME": "/home/me"})("secretvalue /home/me")
        == "[redacted] /home/me"
    )
