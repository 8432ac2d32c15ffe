"""`maxcai`: the command line, built from the action registry. Data goes to stdout, narration to stderr.

Nothing heavy is imported here: the panel (textual, 250 ms) and the link (asyncssh, 300 ms) load on first use.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import packages
from app.actions import registry
from app.actions.base import AGREED, Action
from app.errors import FAILED, OK, USAGE, Refused, Unagreed, UsageError, exit_code, sentence
from app.events import ActivityChanged, AppEvent, Failed, Noted, Output, OutputBytes
from app.reminders import reminders

if TYPE_CHECKING:
    from app.controller import Controller
    from app.settings import Settings
    from app.state import AppState
    from app.workspace import Workspace

INTERRUPTED = 130
"""Exit code after ctrl+c, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 ok, 1 failed, 2 usage, 3 refused by a guard, 4 unreachable."""
    _usable_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        options = parser(words).parse_args(words)
    except SystemExit as leaving:  # argparse has printed its sentence or the help
        return leaving.code if isinstance(leaving.code, int) else USAGE
    try:
        return _dispatch(options)
    except KeyboardInterrupt:
        print("interrupted; a run on the pod goes on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted. Point stdout elsewhere so that the interpreter's last flush is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if options.debug:
            traceback.print_exc()  # and the same exit code
        print(f"maxcai: {_plain(sentence(error))}", file=sys.stderr)
        if not hasattr(error, "exit_code"):
            print(f"maxcai: this is a fault of maxcai ({type(error).__name__}); --debug shows where", file=sys.stderr)
        return exit_code(error)


def _usable_streams() -> None:
    """Closed streams become /dev/null, and a terminal that cannot show a sign gets a substitute: neither is a fault."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (kept for the rest of the process)
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class _Formatter(argparse.HelpFormatter):
    """The library's own asks `shutil`, 4 ms to load, for the terminal's width with every argument that is added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


@functools.cache
def _columns() -> int:
    """Width of the terminal; 80 where there is none."""
    with contextlib.suppress(KeyError, ValueError):
        return max(int(os.environ["COLUMNS"]), 20)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return max(os.get_terminal_size(sys.__stdout__.fileno()).columns, 20)  # type: ignore[union-attr]
    return 80


class _Version(argparse.Action):
    """Looked up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"maxcai {version('maximalcai')}")
        parser.exit()


class _Command(argparse.ArgumentParser):
    """A command at any depth: it takes the common options too, and `verb` is its own last word.

    Made when it is first looked at, and `fill` gives it its arguments then: of fifty commands one is meant.
    """

    def __init__(
        self,
        *,
        parents: Sequence[argparse.ArgumentParser] = (),
        fill: Callable[[argparse.ArgumentParser], None] | None = None,
        **more: Any,
    ) -> None:
        self._unmade = (parents, fill, more)

    def __getattr__(self, name: str) -> Any:
        if "_unmade" not in self.__dict__:
            raise AttributeError(name)
        parents, fill, more = self.__dict__.pop("_unmade")
        super().__init__(parents=[*parents, _shared()], formatter_class=_Formatter, **more)
        self.set_defaults(verb=self.prog.rpartition(" ")[2])
        if fill is not None:
            fill(self)
        return getattr(self, name)


def parser(line: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The argparse tree: one command per action that has one, and the commands of `app.packages`.

    Args:
        line: the words that are to be parsed: a package that it does not name is not loaded. None: all are.
    """
    root = argparse.ArgumentParser(
        prog="maxcai",
        parents=[_common()],
        formatter_class=_Formatter,
        description="Start a rented GPU, bootstrap a base model's alignment on it, bring verified results home. "
        "Without a command: the panel.",
        epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a guard, 4 unreachable.",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    root.set_defaults(
        action=None, group=None, debug=False, readonly=False, yes=False, json=False, workspace=None, provider=None
    )
    commands = root.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Command)
    groups: dict[str, Any] = {}
    for action in registry.ACTIONS:
        words = tuple(word for word in action.cli if not word.startswith("-"))
        if not words or words != action.cli:
            continue  # a view act, or another spelling of a command that has its own action
        if words[0] in packages.GROUPS:
            continue  # the package has this verb and others
        level = commands
        if len(words) == 2:
            if words[0] not in groups:
                group = commands.add_parser(words[0], help=_group_help(words[0]))
                groups[words[0]] = group.add_subparsers(metavar="COMMAND", required=True)
            level = groups[words[0]]
        fill = functools.partial(_add, action)
        level.add_parser(words[-1], help=action.help, description=action.help, fill=fill)
    for word, text in packages.GROUPS.items():
        group = commands.add_parser(word, help=text)
        if line is None or word in line:
            packages.build(word, group)
    return root


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, formatter_class=_Formatter, argument_default=argparse.SUPPRESS)
    common.add_argument("-C", dest="workspace", metavar="DIR", help="workspace folder (default: here)")
    common.add_argument("--provider", metavar="NAME", help="where pods come from, for this command")
    common.add_argument("--readonly", action="store_true", help="refuse everything that writes")
    common.add_argument("--yes", action="store_true", help="agree to what would be asked")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    return common


@functools.cache
def _shared() -> argparse.ArgumentParser:
    """The common options as all commands have them; the root has its own, which carry defaults."""
    return _common()


def _group_help(word: str) -> str:
    verbs = [a.cli[1] for a in registry.ACTIONS if a.cli[:1] == (word,) and len(a.cli) == 2]
    return ", ".join(verbs)


def _add(action: Action, command: argparse.ArgumentParser) -> None:
    for param in action.params:
        if param.kind == "hidden":
            continue
        dest = f"arg_{param.name}"
        if param.kind == "positional":
            command.add_argument(
                dest, nargs="*" if param.many else "?", metavar=param.metavar or None, help=param.help,
                default=param.default, type=param.type,
            )  # fmt: skip
            continue
        names = [name for name in (param.short, f"--{param.name.replace('_', '-')}") if name]
        if param.kind == "flag":
            command.add_argument(*names, dest=dest, action="store_true", help=param.help)
        else:
            command.add_argument(
                *names,
                dest=dest,
                metavar=param.metavar or None,
                help=param.help,
                default=param.default,
                type=param.type,
            )
    if action.prints:
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print data as JSON")
    command.set_defaults(action=action.id)


def _dispatch(options: argparse.Namespace) -> int:
    root = Path(options.workspace) if options.workspace else Path.cwd()
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", "Name an existing folder with -C.")
    if options.group is not None:
        return packages.run(options, root, readonly=_readonly(options.readonly))
    # Help, usage errors, tasks and reviews do not pay for settings.
    from app.settings import load
    from app.workspace import find

    settings = load(root.resolve(), os.environ, {"provider": options.provider})
    workspace = find(root, settings.state_dir, settings.runs_dir)
    draws = os.environ.get("TERM", "") not in ("", "dumb")  # an editor's shell has a terminal that cannot
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty() and draws
    demo = options.action == "demo" and not options.arg_plain and not options.json
    if at_terminal and (options.action is None or demo):
        return _panel(workspace, settings, demo, options.readonly)
    if at_terminal and options.action == "replay" and not options.arg_plain and not options.json:
        return _replay(workspace, options.arg_recording, options.arg_speed)
    action = registry.by_id(options.action or "status")
    args = {param.name: getattr(options, f"arg_{param.name}", param.default) for param in action.params}
    if AGREED in action.params:
        args[AGREED.name] = options.yes
    return _perform(workspace, settings, action, args, options)


def _controller(workspace: Workspace, settings: Settings, readonly: bool) -> Controller:
    from app.controller import Controller

    return Controller(workspace, settings, readonly=_readonly(readonly))


def _readonly(asked: bool) -> bool:
    return asked or bool(os.environ.get("MAXCAI_READONLY"))


def _panel(workspace: Workspace, settings: Settings, demo: bool, readonly: bool) -> int:
    from app.demo import last_home, summarise
    from app.tui.app import run_panel  # textual: about 250 ms

    before = last_home(workspace) if demo else None
    controller = _controller(workspace, settings, readonly)
    if not _readonly(readonly):
        from app.recording import Recorder

        controller.listen(Recorder(workspace.state_dir))
    code = run_panel(workspace, demo=demo, controller=controller)
    for line in reminders(controller.state):
        print(line, file=sys.stderr)
    if not demo:
        return code
    entry = last_home(workspace)
    if entry is None or entry == before:  # left before the demo had its result
        return code or FAILED
    summary = summarise(workspace, entry)
    print(summary.text)
    return OK if summary.reached else FAILED


def _replay(workspace: Workspace, named: str | None, speed: float | None) -> int:
    from app.actions.tools import SPEED
    from app.recording import find, read
    from app.replay import Player
    from app.tui.replaying import run_replay  # textual: about 250 ms

    player = Player(read(find(workspace, named)), speed or SPEED)
    try:
        return run_replay(player)
    finally:
        player.remove()


def _perform(
    workspace: Workspace,
    settings: Settings,
    action: Action,
    args: Mapping[str, Any],
    options: argparse.Namespace,
) -> int:
    import asyncio  # about 50 ms

    controller = _controller(workspace, settings, options.readonly)
    controller.listen(_narrator(sys.stderr.write))
    if action.id == "demo" or (args.get("follow") and action.id.startswith("run.")):
        _tell_progress(controller)
    return asyncio.run(_one(controller, action, dict(args), options))


async def _one(controller: Controller, action: Action, args: dict[str, Any], options: argparse.Namespace) -> int:
    try:
        if action.asks and not options.yes:
            await _ask(controller, action, args)
        try:
            await _stream(controller, action, args, options)
        except Unagreed as question:
            _agree(question)
            await _stream(controller, action, {**args, AGREED.name: True}, options)
    finally:
        await controller.close()
        if action.writes:
            for line in reminders(controller.state):
                print(line, file=sys.stderr)
    return OK


async def _stream(controller: Controller, action: Action, args: dict[str, Any], options: argparse.Namespace) -> None:
    async for event in controller.stream(action.id, args):
        _print(event, options.json)


def _agree(question: Unagreed) -> None:
    """Put a question to the person at the terminal; raises it again where there is nobody, or they do not agree."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or not _answered(question.title, question.lines):
        raise question


async def _ask(controller: Controller, action: Action, args: dict[str, Any]) -> None:
    """Ask as the panel would. Where nobody can answer, the action's own guard decides."""
    if args.get("force") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    confirm = await controller.confirm(action.id, args)
    if confirm is None:
        return
    if not _answered(confirm.title, confirm.lines):
        raise Refused(f"{action.title}: not agreed, nothing was changed")
    args.update(confirm.args)


def _answered(title: str, lines: Sequence[str]) -> bool:
    """Whether the person at the terminal says yes."""
    for line in lines:
        print(f"  {_plain(line)}", file=sys.stderr)
    sys.stderr.write(f"{title} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(event: AppEvent, as_json: bool) -> None:
    if isinstance(event, Output):
        text = json.dumps(event.data, ensure_ascii=False, indent=2) if as_json else event.text
        if not as_json and sys.stdout.isatty():
            text = _plain(text)
        print(text, flush=True)
    elif isinstance(event, OutputBytes):
        if sys.stdout.isatty():
            sys.stdout.write(_plain(event.data.decode("utf-8", "replace")))
        else:
            sys.stdout.buffer.write(event.data)
        sys.stdout.flush()


def _narrator(write: Callable[[str], Any]) -> Callable[[AppEvent], None]:
    """Notices and the beginning of activities on stderr. Each activity is told once, not at every percent."""
    told: list[str] = []

    def narrate(event: AppEvent) -> None:
        if isinstance(event, Noted):
            write(f"{event.text if event.level in ('info', 'ok') else f'{event.level}: {event.text}'}\n")
        elif isinstance(event, Failed):
            again = "" if event.retry_in is None else f" (again in {event.retry_in:.0f} s)"
            write(_plain(f"{event.source}: {event.error}{again}") + "\n")
        elif isinstance(event, ActivityChanged) and event.activity.text not in told:
            told.append(event.activity.text)
            write(f"{event.activity.text}\n")

    return narrate


def _tell_progress(controller: Controller) -> None:
    from app.progress import Narrator

    narrator = Narrator(controller.clock)

    def tell(state: AppState) -> None:
        for line in narrator.lines(state):
            print(line, file=sys.stderr, flush=True)

    controller.subscribe(tell)


def _plain(text: str) -> str:
    from app.text import harmless

    return harmless(text)
