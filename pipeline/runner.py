"""Runs a plan: decides step by step what is reused, resumed or redone, and is the only writer of `events.jsonl`.

It never imports torch: every step runs in a process of its own (`worker`), watched by `supervise`.
"""

from __future__ import annotations

import errno
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts, attempts, environment, ledger, plan, retries, reuse, rundir, standing, threads
from pipeline.errors import DataQualityError, DiskFullError, PipelineError
from pipeline.eta import Eta
from pipeline.events import EventWriter, iso
from pipeline.forecast.outlook import Outlook
from pipeline.gating import GateResult, read_gate
from pipeline.locks import RunLock
from pipeline.options import Options as Options
from pipeline.processes import Launcher, measure_threads
from pipeline.protocol import EXIT_FAILED, EXIT_GATE, EXIT_OK, RunPaths, RunState, read_events
from pipeline.recipe import Recipe, earlier_stages
from pipeline.steps.base import Step
from pipeline.supervise import Aborted, Control, Limits, Outcome, Watch
from pipeline.worker import Job, main

MAX_CRASHES, MAX_LIMITS = 2, 1
Told = Callable[[Recipe, int, Path, int], str]


class StepFailed(PipelineError):
    """A step cannot be finished; the message is the step's own."""


class DataBreach(StepFailed):
    """A data set breached its limits; other settings may help."""


class _Stop(Exception):
    """The run ends here, resumable."""


def run(options: Options) -> int:
    """Run or resume; returns the exit code (protocol.EXIT_*).

    Raises UsageError (another recipe's directory, unknown step), LockedError (somebody runs it), DiskFullError when
    not even the record of the run could be written.
    """
    registry = plan.load_registry(options.registry)
    hardware = environment.hardware(options.recipe, options.env)
    candidate = environment.resolved(options.recipe, hardware["device"])
    tries = attempts.present(options.run_dir, candidate) if options.steps is None else {}
    steps = options.steps if options.steps is not None else plan.build(options.recipe, tries)
    named = [name for name in (options.until, *options.force) if name]
    plan.check(steps, registry, named, options.recipe.stages, tries)
    try:
        with RunLock(RunPaths(options.run_dir).lock) as lock:
            return Runner(options, steps, registry, lock, tries, hardware).run()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise disk_full(options.run_dir, error) from error
        raise


def disk_full(run_dir: Path, error: OSError) -> DiskFullError:
    where = error.filename or run_dir
    return DiskFullError(
        f"the disk is full ({where}: {error.strerror}). Free some space and run again: finished work is kept."
    )


class Runner:
    """One session of one run, under its lock."""

    def __init__(
        self,
        options: Options,
        steps: tuple[plan.PlannedStep, ...],
        registry: Mapping[str, Step],
        lock: RunLock,
        tries: Mapping[int, int],
        hardware: dict[str, Any],
    ) -> None:
        self.options, self.recipe, self.paths = options, options.recipe, RunPaths(options.run_dir)
        self.plan, self.steps = steps, registry
        record = rundir.read_run(options.run_dir)
        if record is not None:
            rundir.check_owner(options.run_dir, record, self.recipe, options.supersede)
        self.versions = environment.versions()
        self.hardware, self.candidate = hardware, environment.resolved(self.recipe, hardware["device"])
        kept = (record or {}).get("hardware", {}).get("threads")
        if self.hardware["threads"] is None and isinstance(kept, int):
            self.hardware["threads"] = kept
        self.git = environment.git_state(options.env, environment.source_root())
        fork = self.hardware["device"] == "cpu"
        self.launcher = Launcher(self.hardware["threads"], options.preload, fork, options.env, options.keep)
        self.record, self.lock, self.tries = record, lock, dict(tries)
        self.overrides: list[dict[str, Any]] = list((record or {}).get("overrides", []))
        self.control, self.outputs, self.worked = Control(), dict[str, str](), False
        self.gates: list[GateResult] = []
        self.ended_at: str | None = None
        self._warned, self._told = set[str](), dict[tuple[Told, int], str]()
        self.last: tuple[Outcome, float]  # of the last attempt, and the seconds of those before it

    def run(self) -> int:
        """Everything between the lock and its release. Always tries to leave a `run_finished`."""
        self.past = ledger.history(read_events(self.paths.events))
        self.meter = ledger.Meter(self.past, self.hardware["price_per_hour"], self.options.clock)
        self.events = EventWriter(self.paths.events, self.options.clock)
        try:
            with self.control.signals():
                state, code, reason = self._run_to_an_end()
                self.events.emit("run_finished", state=state.value, exit_code=code, reason=reason)
        except Exception as error:
            if not isinstance(error, OSError):  # then there is still room to say it
                text = f"internal error: {type(error).__name__}: {error}"
                self.events.emit("run_finished", state=RunState.FAILED.value, exit_code=EXIT_FAILED, reason=text)
            raise
        finally:
            self.events.close()
        self.options.say(f"run {state.value}: {reason} (exit {code})")
        return code

    def _run_to_an_end(self) -> tuple[RunState, int, str]:
        try:
            if self.record is None:
                self.launcher.warm_up()  # there is work to do: torch's imports may as well begin
            self._begin()
            for stage in dict.fromkeys(p.stage for p in self.plan):
                if not self._stage(stage) or self.ended_at is not None:
                    break
            rundir.set_aside_stale(self.options.run_dir, [p.name for p in self.plan], self._warn)
            if self.ended_at is None:
                self._report()
        except (_Stop, Aborted):
            return RunState.STOPPED, *self.options.stopped(self.control.reason)
        except PipelineError as error:
            return RunState.FAILED, EXIT_FAILED, str(error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            return RunState.FAILED, EXIT_FAILED, str(disk_full(self.options.run_dir, error))
        state = RunState.FINISHED if self.ended_at is None else RunState.STOPPED
        failed = [g for g in self.gates if not g.verdict.advances]
        if failed:
            first, more = failed[0], f"; {len(failed)} of {len(self.gates)} gates did not pass" * (len(self.gates) > 1)
            return state, EXIT_GATE, f"stage {first.stage} gate: {first.verdict} ({first.reason}){more}"
        every = "every step done" + (", every gate passed" if self.gates else "")
        return state, EXIT_OK, every if self.ended_at is None else f"ended after {self.ended_at}, as asked"

    def _stage(self, stage: int) -> bool:
        """All steps of one stage, its data made again with other settings where they breach their limits; whether the
        chain goes on."""
        data = retries.Retries(self.options.run_dir, stage, self.recipe)
        while True:
            try:
                return self._steps([p for p in self.plan if p.stage == stage], data.recipe)
            except DataBreach as breach:
                changed = data.next(str(breach))
                if changed is None:
                    tried = f" after {data.count} automatic retries" if data.count else ""
                    raise StepFailed(f"{str(breach).rstrip('.')}{tried}") from None
                text = f"{str(breach).rstrip('.')}; the data of stage {stage} are made again with {', '.join(changed)}"
                self._warn("data-retry", text, f"stage-{stage}/retries.json lists what was changed")

    def _steps(self, steps: Sequence[plan.PlannedStep], recipe: Recipe) -> bool:
        for planned in steps:
            self._stop_if_asked()
            self._step(planned, recipe)
            if planned.kind == "gate" and not self._may_go_on(self.gates[-1]):
                return False
            if planned.name == self.options.until:
                self.ended_at = planned.name
                return True
        return True

    def _may_go_on(self, gate: GateResult) -> bool:
        """Whether the chain goes on behind a gate: by its verdict, or because somebody said so, and then for all to
        see."""
        others = [o for o in self.overrides if o["stage"] != gate.stage]
        if gate.verdict.advances:
            self.overrides = rundir.note_overrides(self.options.run_dir, others)
            return True
        why = self.options.override_gate
        if why is None and self.recipe.evaluation.on_fail == "continue":
            why = f"the recipe {self.recipe.name} goes on past a gate that fails"
        if why is None:
            return False
        entry = {"stage": gate.stage, "verdict": gate.verdict.value, "reason": why}
        self.overrides = rundir.note_overrides(self.options.run_dir, [*others, entry])
        text = f"stage {gate.stage}: {gate.verdict}, passed over: {why}"
        self._warn("gate-overridden", text, "the run still ends with 5")
        return True

    def _begin(self) -> None:
        if self.hardware["threads"] is None and self.hardware["device"] == "cpu" and self.options.prepare:
            speeds = measure_threads(self.launcher, self.options.prepare, int(self.hardware["cores"]))
            self.hardware["gflops_by_threads"] = speeds
            self.hardware["threads"] = threads.choose(speeds)
            self.launcher.threads = self.hardware["threads"]
        self.engine = plan.engine_fingerprint(
            self.recipe, self.hardware["device"], self.hardware["threads"], self.versions, self.hardware["gpu"]
        )
        label = self.hardware["gpu"] or f"{self.hardware['cpu']} × {self.hardware['threads']}"
        rates = ledger.Rates(self.options.run_dir.parent, label, self.recipe.model.id, self.recipe.name)
        self.outlook = Outlook(self.recipe, self.plan, self.hardware, rates, self._is_done, self._summary)
        rundir.note_recipe(self.options.run_dir, self.record, self.recipe, self.options.overlays, self._facts)
        self.events.emit(
            "run_started", run_id=self.run_id, recipe=self.recipe.name, recipe_sha256=self.recipe.digest(),
            hardware=self.hardware, resumed=self.past.sessions > 0, steps=[p.name for p in self.plan],
        )  # fmt: skip
        self._announce(self.paths.run_json)
        self._warnings()

    @property
    def run_id(self) -> str:
        return str(self.record["run_id"]) if self.record else self.options.run_id

    def _facts(self) -> dict[str, Any]:
        """What `run.json` says beside the recipe."""
        return {
            "run_id": self.run_id,
            "overrides": self.overrides,
            "versions": self.versions,
            "freeze_sha256": environment.freeze_sha256(),
            "git": self.git,
            "hardware": self.hardware,
            "started": iso(self.options.clock()),
        }

    def _warnings(self) -> None:
        if self.lock.taken_over is not None:
            dead = self.lock.taken_over
            text = f"process {dead.pid} on {dead.host} died while it ran this; taken over"
            self._warn("stale-lock", text, "none needed")
        if self.recipe.budget.usd is not None and self.hardware["price_per_hour"] is None:
            text = "the price of this machine is unknown, so the budget in USD cannot be enforced"
            self._warn("price-unknown", text, "set MAXCAI_PRICE_PER_HOUR")

    def _step(self, planned: plan.PlannedStep, recipe: Recipe) -> None:
        step, out = self.steps[planned.kind], self.paths.step(planned.name)
        named = plan.inputs_of(planned, step, self.recipe.stages, self.tries, self.plan)
        inputs = {name: self.outputs[name] for name in named}
        skipped = self._skipped(step.skipped, planned.stage)
        tries = self._tries_of(planned, step)
        material = plan.material(planned, step, recipe, self.engine, inputs, tries, skipped)
        key = plan.key_of(material)
        forced = planned.name in self.options.force
        reused = not forced and (artifacts.is_done(out, key) or self._adopted(planned.name, key))
        if not reused:
            self.worked = True
            if self.options.explain:
                self.options.say(f"{planned.name}: {rundir.stale_reason(self.options.run_dir, planned.name, material)}")
            self._make(planned, step, recipe, key, material, inputs)
        self._finish(planned, reused)
        if planned.kind == "gate":
            self._gate(planned.stage, reused)
        elif planned.kind == "merge":
            self._clear_scratch(planned.stage)

    def _skipped(self, told: Told, stage: int) -> str:
        """What `Step.skipped` says, asked once a stage: what it is told from is finished before any of its steps."""
        if (told, stage) not in self._told:
            self._told[told, stage] = told(self.recipe, stage, self.options.run_dir, self.tries.get(stage, 1))
        return self._told[told, stage]

    def _adopted(self, name: str, key: str) -> bool:
        """Whether another run's result of this very step was taken over."""
        out = self.paths.step(name)
        if not self.recipe.runtime.reuse or (out.exists() and any(out.iterdir())):
            return False
        found = reuse.adopt(self.options.run_dir.parent, key, out)
        if found is not None:
            saved = "" if found.usd is None else f", ${found.usd:.2f} saved"
            self.options.say(f"{name}: taken over from {found.run} ({found.seconds:.1f} s{saved})")
        return found is not None

    def _is_done(self, name: str) -> bool:
        return artifacts.read_done(self.paths.step(name)) is not None

    def _summary(self, name: str) -> Mapping[str, Any] | None:
        return (artifacts.read_manifest(self.paths.step(name)) or {}).get("summary") if self._is_done(name) else None

    def _clear_scratch(self, stage: int) -> None:
        """Merged weights are needed by the next stage only; at most one set of them lies on the disk between stages."""
        for number in earlier_stages(self.recipe.stages, stage):
            shutil.rmtree(self.paths.merged(number), ignore_errors=True)

    def _tries_of(self, planned: plan.PlannedStep, step: Step) -> dict[int, int]:
        """The attempts that a step can see; the baseline belongs to none, and data are made for all of them."""
        seen = (*earlier_stages(self.recipe.stages, planned.stage), planned.stage) if planned.stage else ()
        return {stage: number for stage, number in self.tries.items() if step.on_block and stage in seen}

    def _make(
        self, planned: plan.PlannedStep, step: Step, recipe: Recipe, key: str, material: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Attempts at one step until it is done. Raises StepFailed, DataBreach or _Stop."""
        if planned.kind == "gate":
            self.paths.gate(planned.stage).unlink(missing_ok=True)
        for text in rundir.ready(self.options.run_dir, planned.name, key):
            self._warn("superseded", text, "none needed")
        crashes = limits = 0
        self.launcher.warm_up()  # not before: a finished run is looked through without importing torch
        while True:
            outcome = self._attempt(planned, step, recipe, key, material, inputs)
            if outcome.state == "done" or artifacts.is_done(self.paths.step(planned.name), key):
                return  # ended from outside just after its last byte was published: it is done all the same
            if outcome.state == "stopped":
                raise _Stop
            crashes += outcome.state == "crashed"
            limits += outcome.state == "limit"
            if outcome.state == "failed" or crashes > MAX_CRASHES or limits > MAX_LIMITS:
                self._finished(planned.name, "failed", outcome.seconds, outcome.tokens)
                if outcome.error == DataQualityError.__name__:
                    raise DataBreach(outcome.text)
                raise StepFailed(self._why(outcome, planned.name))
            self._stop_if_asked()
            self._warn("step-restarted", f"{outcome.text}; it is resumed", "see the step's log if it happens again")

    def _attempt(
        self, planned: plan.PlannedStep, step: Step, recipe: Recipe, key: str, material: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> Outcome:  # fmt: skip
        name = planned.name
        attempt = self.past.attempts[name, key] = self.past.attempts.get((name, key), 0) + 1
        forecast, prior = self.outlook.step(name), self.past.seconds.get((name, key), 0.0)
        seconds = round(forecast.seconds, 2) if forecast else None
        self.events.emit("step_started", step=name, key=key, attempt=attempt, forecast_s=seconds)
        self.options.say(f"{name}: attempt {attempt}" if attempt > 1 else name)
        facts = {"run_id": self.run_id, "recipe_sha256": self.recipe.digest(), "versions": self.versions}
        job = Job(
            recipe=recipe,
            attempts=self._tries_of(planned, step),
            stage=planned.stage,
            kind=planned.kind,
            step=name,
            key=key,
            material=material,
            holds_model=step.holds_model and not material["skipped"],
            inputs=inputs,
            run_dir=self.options.run_dir.resolve(),
            registry=self.options.registry,
            attempt=attempt,
            threads=self.hardware["threads"],
            price_per_hour=self.hardware["price_per_hour"],
            prior_seconds=prior,
            deadline=self.meter.deadline(self.recipe.budget),
            heartbeat_s=self.options.heartbeat_s,
            prepare=self.options.prepare,
            shard=self.options.share_of(name),
            facts={**facts, "git": self.git, "hardware": self.hardware, "overrides": self.overrides},
        )
        process, pipe = self.launcher.start(main, job, heavy=job.holds_model)
        measured = forecast.busy if forecast and forecast.measured else None
        limits = Limits(step.time_limit_s, step.heartbeat_limit_s, measured)
        by_work = functools.partial(self.outlook.of_work, name)
        later = self.outlook.later(name, standing.stale(self.options.run_dir, self.recipe))
        eta = Eta(forecast.busy if forecast else None, later, measured is not None, by_work)
        outcome = Watch(name, limits, self.events, self.control, self._on_tick, eta=eta).follow(process, pipe)
        self.past.seconds[name, key] = prior + outcome.seconds
        self.last = (outcome, prior)
        return outcome

    def _why(self, outcome: Outcome, step: str) -> str:
        if outcome.state == "failed":
            return outcome.text
        return f"{outcome.text}, again after it was resumed. The last lines of {self.paths.log(step)} may say why."

    def _finish(self, planned: plan.PlannedStep, reused: bool) -> None:
        """Announce a finished step, from its manifest: what was lost with a killed runner is announced now."""
        out = self.paths.step(planned.name)
        done, manifest = artifacts.read_done(out), artifacts.read_manifest(out)
        if done is None or manifest is None:
            raise StepFailed(f"{planned.name} ended without a result in {out}. Run again; its log may say why.")
        self.outputs[planned.name] = done.outputs
        if planned.kind == "evaluate" and planned.stage:
            attempts.seen(self.options.run_dir, planned.stage, self.candidate)
        for row in manifest["outputs"]:
            self._announce(out / row["path"], row["size"], row["sha256"])
        self._announce(out / artifacts.MANIFEST)
        self._announce(out / artifacts.DONE)
        seconds, tokens = float(manifest["seconds"]), manifest["tokens"]
        self._finished(planned.name, "reused" if reused else "done", seconds, tokens, manifest["cost_usd"])
        if not reused:
            reuse.remember(self.options.run_dir.parent, done.key, self.options.run_dir, planned.name)
            self.outlook.record(planned.name, manifest, *self.last)

    def _finished(self, step: str, state: str, seconds: float, tokens: int | None, usd: float | None = None) -> None:
        price = self.hardware["price_per_hour"]
        if usd is None and price is not None and state != "reused":
            usd = seconds / 3600 * price
        self.events.emit("step_finished", step=step, state=state, seconds=round(seconds, 3), tokens=tokens, usd=usd)
        self.options.say(f"{step}: {state}, {seconds:.1f} s" + (f", {tokens:,} tokens" if tokens else ""))

    def _gate(self, stage: int, reused: bool) -> None:
        """Publish the gate's file at its contract path and announce it; a missing or unreadable one is MISSING."""
        source = self.paths.step(f"stage-{stage}/gate") / "gate.json"
        if source.is_file():
            artifacts.write_atomic(self.paths.gate(stage), source.read_bytes())
            self._announce(self.paths.gate(stage))
        result = read_gate(self.paths.gate(stage), stage)
        self.gates.append(result)
        attempts.decided(self.options.run_dir, stage, result, self.candidate)
        if not reused or stage not in self.past.gates:
            self.events.emit("gate", **result.as_event())
        self.options.say(f"stage {stage} gate: {result.verdict}. {result.reason}")

    def _report(self) -> None:
        if self.options.report is None or (not self.worked and self.paths.report_md.exists()):
            return
        try:
            self.options.report(self.options.run_dir)
        except Exception as error:  # a report that cannot be drawn must not lose a run that was paid for
            text = f"the report could not be rendered: {type(error).__name__}: {error}"
            self._warn("report", text, f"python -m pipeline report {self.options.run_dir}")
        cards = sorted((self.options.run_dir / "cards").glob("*.md"))
        for path in (self.paths.report_md, self.paths.report_html, *cards):
            if path.exists():
                self._announce(path)

    def _announce(self, path: Path, size: int | None = None, sha256: str | None = None) -> None:
        """An `artifact` event, unless the same content was announced before."""
        name = path.relative_to(self.options.run_dir).as_posix()
        sha256 = sha256 or artifacts.sha256_file(path)
        if self.past.artifacts.get(name) != sha256:
            self.past.artifacts[name] = sha256
            self.events.emit("artifact", path=name, size=path.stat().st_size if size is None else size, sha256=sha256)

    def _warn(self, code: str, text: str, remedy: str) -> None:
        self.events.emit("warning", code=code, text=text, remedy=remedy)
        self.options.say(f"warning: {text}")

    def _stop_if_asked(self) -> None:
        self._on_tick()
        if self.control.reason is not None:
            raise _Stop

    def _on_tick(self) -> None:
        """Budget and deadline: a warning at 80 %, a stop between batches at 100 %."""
        for what, share in self.meter.used(self.recipe.budget).items():
            if share >= 1:
                self.control.request(f"the {what} budget of the recipe is used up")
            elif share >= ledger.WARN_SHARE and what not in self._warned:
                self._warned.add(what)
                text = f"{share:.0%} of the {what} budget is used"
                self._warn("budget", text, "raise it with --set budget…, or let the run stop resumable at 100 %")
