"""`python -m pipeline`: run, plan, fetch, status, compare, report, digest, recipes, validate, doctor.

Data on stdout, narration on stderr. Only `run`, `fetch` and `doctor` need torch, and `run` only in its children.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, UsageError
from pipeline.protocol import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from pipeline.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 ok · 1 failed · 2 usage · 5 stopped at a gate."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_OK
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_FAILED
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        elif isinstance(error, PipelineError):
            say(f"error: {error}")
        else:
            say(f"error: {type(error).__name__}: {error}. Run it again with --debug for the traceback.")
        return error.exit_code if isinstance(error, PipelineError) else EXIT_FAILED


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[common])
        sub.set_defaults(run=function)
        return sub

    run = command("run", run_command, "run a recipe, or resume it in its run directory")
    plan = command("plan", plan_command, "what a recipe will take: work, minutes, dollars, memory; and what is done")
    fetch = command("fetch", fetch_command, "bring a recipe's model to this machine, converted and checked")
    for sub in (run, plan, fetch):
        sub.add_argument("--recipe", required=True, metavar="NAME|FILE")
        sub.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="overlays")
    for sub in (run, plan):
        sub.add_argument("--run-dir", type=Path)
    plan.add_argument(
        "--gpu", metavar="NAME", help="machine to plan for (default: the recipe's); a wrong one lists all"
    )
    plan.add_argument("--count", type=int, default=1, metavar="N", help="GPUs that are paid for (one works)")
    plan.add_argument("--price", type=float, metavar="USD", help="of one GPU, an hour (default: MAXCAI_PRICE_PER_HOUR)")
    run.add_argument("--until", metavar="STEP", help="end after this step (stage-1/sft)")
    run.add_argument("--shard", metavar="I/N", help="make the I-th of N shares of the step --until, and end")
    run.add_argument("--force", action="append", default=[], metavar="STEP", help="redo this step")
    run.add_argument("--supersede", action="store_true", help="let a changed recipe redo steps of this run")
    run.add_argument("--override-gate", metavar="REASON", help="go on past a gate that fails; marked everywhere")
    run.add_argument("--explain", action="store_true", help="say why each step is not reused")
    for name, function, text in (
        ("status", status_command, "where a run stands"),
        ("report", report_command, "render the report of a run"),
        ("digest", digest_command, "one sha256 over every data file of a run"),
    ):
        command(name, function, text).add_argument("run_dir", type=Path, metavar="DIR")
    merge = command("merge", merge_command, "take in the shares of a step that other machines made (run --shard)")
    merge.add_argument("run_dir", type=Path, metavar="DIR")
    merge.add_argument("--step", required=True, metavar="STEP")
    merge.add_argument("shards", type=Path, nargs="+", metavar="SHARE", help="run directories of the shares")
    commands.choices["report"].add_argument("--export", metavar="tensorboard|trackio|wandb|inspect")
    both = command("compare", compare_command, "runs side by side: recipes, rates, paired tests, cost")
    both.add_argument("run_dirs", type=Path, nargs="+", metavar="DIR")
    recipes = command("recipes", recipes_command, "list the recipes, or show one with all its defaults")
    recipes.add_argument("name", nargs="?", metavar="NAME|FILE")
    validate = command("validate", validate_command, "check a recipe, a constitution or a run's files")
    validate.add_argument("what", choices=("recipe", "constitution", "run"))
    validate.add_argument("file", type=Path)
    doctor = command("doctor", doctor_command, "is this machine fit to run")
    for name in ("plan", "status", "compare", "recipes", "doctor"):
        commands.choices[name].add_argument("--json", action="store_true")
    assert doctor is commands.choices["doctor"]
    return parser


def say(line: str) -> None:
    """Narration; a closed terminal must not end a run."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (kept for the rest of the process)


def run_command(args: argparse.Namespace) -> int:
    from pipeline.recipe_load import load
    from pipeline.runner import Options, run

    recipe = load(args.recipe, args.overlays)
    require_model(recipe)
    shard = shard_of(args)
    run_dir, run_id = place(args.run_dir, recipe.name, os.environ, time.time())
    say(f"run {run_id} in {run_dir}")
    code = run(
        Options(
            recipe=recipe,
            run_dir=run_dir,
            run_id=run_id,
            until=args.until,
            shard=shard,
            force=tuple(args.force),
            supersede=args.supersede,
            explain=args.explain,
            override_gate=args.override_gate,
            overlays=tuple(args.overlays),
            report=render,
            say=say,
        )
    )
    print(run_dir)
    return code


def shard_of(args: argparse.Namespace) -> Any:
    """The share that is asked for. Raises UsageError where the step cannot be shared."""
    from pipeline.plan import REGISTRY, load_registry
    from pipeline.steps.base import Shard

    if args.shard is None:
        return None
    shared = sorted(name for name, step in load_registry(REGISTRY).items() if step.shards)
    if not args.until or args.until.partition("/")[2] not in shared:
        raise UsageError(f"--shard needs --until with a step that can be shared: {', '.join(shared)}.")
    return Shard.parse(args.shard)


def merge_command(args: argparse.Namespace) -> int:
    from pipeline import shards

    count = shards.merge(args.run_dir, args.step, args.shards)
    say(f"{args.step}: {count} rows of {len(args.shards)} shares are in {args.run_dir}; run it again to go on")
    print(args.run_dir / args.step)
    return EXIT_OK


def place(given: Path | None, recipe: str, env: Mapping[str, str], now: float) -> tuple[Path, str]:
    """Run directory and run id: --run-dir, else MAXCAI_RUN_DIR, else $CAI_BASE_DIR/runs/<id>, else ./runs/<id>."""
    fresh = env.get("MAXCAI_RUN_ID") or f"{recipe}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    if given is None and env.get("MAXCAI_RUN_DIR"):
        given = Path(env["MAXCAI_RUN_DIR"])
    if given is None:
        given = Path(env.get("CAI_BASE_DIR") or ".") / "runs" / fresh
    run_dir = given.expanduser().absolute()
    if run_dir.exists() and not run_dir.is_dir():
        raise UsageError(f"{run_dir} is a file. Give a directory with --run-dir.")
    return run_dir, env.get("MAXCAI_RUN_ID") or run_dir.name


def require_model(recipe: Recipe, fetched: bool = True) -> None:
    """Raises UsageError when a model of the recipe is plainly not here: better now than after the imports, or after
    the hours before a further model's turn. `fetched`: a further hub model must have been fetched too."""
    from pipeline.models.errors import ModelError
    from pipeline.models.resolve import require, require_snapshot

    try:
        require(recipe.model)
        for model in recipe.further_models.values():
            require(model)
            if fetched:
                require_snapshot(model)
    except ModelError as error:
        raise UsageError(f"recipe {recipe.name!r}: {error}") from None


def fetch_command(args: argparse.Namespace) -> int:
    from pipeline.models.errors import ModelError
    from pipeline.models.resolve import resolve
    from pipeline.recipe_load import load

    recipe = load(args.recipe, args.overlays)
    require_model(recipe, fetched=False)
    say(f"model {recipe.model.id}: the first time it is converted into a cache, which takes about a minute")
    try:
        found = resolve(recipe.model)
        for model in recipe.further_models.values():
            say(f"model {model.id}: sha256 {resolve(model).digest}")
    except ModelError as error:
        raise PipelineError(str(error)) from None
    say(f"licence: {found.licence or 'not known here: see where it comes from'}; sha256 {found.digest}")
    print(found.path)
    return EXIT_OK


def render(run_dir: Path) -> object:
    from pipeline.report.report import render

    return render(run_dir)


def plan_command(args: argparse.Namespace) -> int:
    from pipeline.forecast import command

    return command.run(args)


def status_command(args: argparse.Namespace) -> int:
    from pipeline import status

    found = status.status(args.run_dir)
    print(json.dumps(found, ensure_ascii=False) if args.json else status.text(found))
    return EXIT_OK


def compare_command(args: argparse.Namespace) -> int:
    from pipeline import side_by_side

    found = side_by_side.side_by_side(args.run_dirs)
    print(json.dumps(found, ensure_ascii=False) if args.json else found["text"])
    return EXIT_OK


def report_command(args: argparse.Namespace) -> int:
    require_run(args.run_dir)
    if args.export:
        from pipeline.report.tracking import export

        print("\n".join(export(args.run_dir, args.export)))
        return EXIT_OK
    render(args.run_dir)
    from pipeline.protocol import RunPaths

    paths = RunPaths(args.run_dir)
    print(f"{paths.report_md}\n{paths.report_html}")
    return EXIT_OK


def digest_command(args: argparse.Namespace) -> int:
    from pipeline import artifacts

    require_run(args.run_dir)
    print(artifacts.digest(args.run_dir))
    return EXIT_OK


def require_run(run_dir: Path) -> None:
    from pipeline.rundir import read_run

    if read_run(run_dir) is None:
        raise UsageError(f"{run_dir} holds no run (no run.json). Give the directory of a run.")


def recipes_command(args: argparse.Namespace) -> int:
    import yaml

    from pipeline.recipe_load import load, names

    if args.name:
        body = load(args.name).model_dump(mode="json")
        print(json.dumps(body) if args.json else yaml.safe_dump(body, sort_keys=False, allow_unicode=True), end="")
        return EXIT_OK
    rows = [{"name": name, "description": load(name).description} for name in names()]
    print(json.dumps(rows) if args.json else "\n".join(f"{r['name']:<24}{r['description']}" for r in rows))
    return EXIT_OK


def validate_command(args: argparse.Namespace) -> int:
    if args.what == "recipe":
        from pipeline import plan
        from pipeline.recipe_load import load

        recipe = load(args.file)
        plan.build(recipe)  # stages, families and held-out items that exist
        print(f"recipe {recipe.name}: valid, sha256 {recipe.digest()}")
    elif args.what == "constitution":
        from pipeline.constitution import load as load_constitution

        found = load_constitution(args.file)
        print(f"constitution: valid, {len(found.principles)} principles")
    else:
        return validate_run(args.file)
    return EXIT_OK


def validate_run(run_dir: Path) -> int:
    """Hash every artifact of every finished step again, and compare the gates' copies with what was decided."""
    from pipeline import artifacts
    from pipeline.gating import altered

    require_run(run_dir)
    steps = sorted(done.parent for done in run_dir.glob(f"stage-*/*/{artifacts.DONE}"))
    problems = [problem for step in steps for problem in artifacts.verify(step)]
    copies = sorted(run_dir.glob("stage-*/gate.json"))
    problems += [f"{path}: is not what {path.parent.name}/gate decided" for path in copies if altered(path)]
    for problem in problems:
        print(problem)
    say(f"{len(steps)} finished steps, {len(problems)} problems")
    return EXIT_FAILED if problems else EXIT_OK


def doctor_command(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from pipeline import doctor

    checks = doctor.examine(Path(os.environ.get("CAI_BASE_DIR") or ".") / "runs", os.environ)
    if args.json:
        print(json.dumps([asdict(check) for check in checks]))
    else:
        marks = {True: "ok     ", False: "FAILED ", None: "?      "}
        for check in checks:
            print(f"{marks[check.ok]}{check.name}: {check.text}" + (f" → {check.remedy}" if check.remedy else ""))
    return EXIT_FAILED if any(check.ok is False for check in checks) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
