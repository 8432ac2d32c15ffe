"""Keys as a page, settings with their origin, completion by the shells that are here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

import app
from app import completion, keymap
from app.actions import registry
from app.actions.tools import replay_actions
from app.cli import main, parser

PAGE = Path(app.__file__).parents[1] / "docs" / "keys.md"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_the_page_of_keys_is_current() -> None:
    made = keymap.markdown(registry.ACTIONS, replay_actions())
    assert PAGE.read_text(encoding="utf-8") == made, "make it again: maxcai keys --markdown > docs/keys.md"
    for action in registry.ACTIONS:
        assert f"`{action.id}`" in made


def test_keys_are_those_of_this_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maxcai.toml").write_text('[keys]\n"pod.stop" = "ctrl+x"\n')
    assert "ctrl+x" in printed(capsys, "keys")
    found = {row["id"]: row for row in json.loads(printed(capsys, "keys", "--json"))}
    assert found["pod.stop"]["keys"] == ["ctrl+x"]
    assert found["view.palette"]["keys"] == [":", "ctrl+p"]
    assert found["view.find"]["command"] is None


def test_every_setting_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maxcai.toml").write_text("budget_usd = 20\n[guard]\nmax_hours = 9\n")
    monkeypatch.setenv("MAXCAI_GUARD_IDLE_MINUTES", "12")
    found = json.loads(printed(capsys, "config", "show", "--json"))
    assert found["budget_usd"] == {"value": "20", "from": str(tmp_path / "maxcai.toml")}
    assert found["guard.max_hours"] == {"value": 9.0, "from": str(tmp_path / "maxcai.toml")}
    assert found["guard.idle_minutes"] == {"value": 12.0, "from": "MAXCAI_GUARD_IDLE_MINUTES"}
    assert found["guard.required"] == {"value": False, "from": "default"}
    assert "guard.idle_minutes" in printed(capsys, "config", "show")
    placed = json.loads(printed(capsys, "config", "locate", "--json"))
    assert placed["settings"] == {"path": str(tmp_path / "maxcai.toml"), "exists": True}
    assert placed["state"]["exists"] is False


def test_the_schema_is_one_and_holds_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(printed(capsys, "config", "schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"provider": "local", "guard": {"max_hours": 3}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"guard": {"max_ours": 3}}, schema)


def test_every_command_and_option_is_in_every_script() -> None:
    tree = list(completion.nodes(parser()))
    assert ("run", "start") in {node.path for node in tree}
    for shell in completion.SHELLS:
        script = completion.script(shell, parser())
        for node in tree:
            for word in node.commands:
                assert word in script
        assert "--recipe" in script or "-l recipe" in script


def test_a_shell_without_a_script_is_named_with_those_that_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["completion"], ["completion", "tcsh"]):
        assert main(words) == 2
        assert "bash, zsh, fish" in capsys.readouterr().err


CASES = (
    ("maxcai pod sto", {"stop"}),
    ("maxcai -C x pod sto", {"stop"}),
    ("maxcai task bl", {"block"}),
    ("maxcai run start --rec", {"--recipe"}),
    ("maxcai compl", {"completion"}),
    ("maxcai logs --fol", {"--follow"}),
)


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_shell_itself_completes(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not here: its script is not tried")
    script = tmp_path / "script"
    script.write_text(completion.script(shell, parser()))
    if shell == "bash":
        ask = "complete_line() { COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _maxcai; "
        ask += 'echo "${COMPREPLY[*]}"; }\n'
        asked = "".join(f"complete_line '{line}'\n" for line, _ in CASES)
    else:
        ask, asked = (
            "",
            "".join(f"complete -C '{line}' | string split -f1 \\t | string join ' '\n" for line, _ in CASES),
        )
    run = tmp_path / "run"
    run.write_text(f". {script}\n{ask}{asked}true\n")
    words = [found, *(["--no-config"] if shell == "fish" else ["--norc"]), str(run)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert done.stderr == ""
    assert [set(line.split()) for line in done.stdout.splitlines()] == [wanted for _line, wanted in CASES]


def test_the_script_for_zsh_is_read_by_zsh(tmp_path: Path) -> None:
    found = shutil.which("zsh")
    if found is None:
        pytest.skip("zsh is not here: its script is not tried")
    script = tmp_path / "script"
    script.write_text(completion.script("zsh", parser()))
    told = f"source {script} && print -r -- ${{_comps[maxcai]}}"
    done = subprocess.run([found, "-f", "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert "_maxcai" in done.stdout
