"""The key is found where it is documented to be, and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.secrets import Redactor, from_environment, looks_secret, parse_env, runpod_key

KEY = "rpa_" + "0123456789abcdefghijklmnop"


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
