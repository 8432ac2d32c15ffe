"""Run: the chain with its steps and gates at the left, and pages to read at the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from app.state import RunView as Run
from app.tui import rundir
from app.tui.home import Absent
from app.tui.lines import clean
from app.tui.logs import Logs
from app.tui.picture import Picture
from app.tui.shelf import Unreadable
from app.tui.widgets import records, run_pages
from app.tui.widgets.chosen import Outdated
from app.tui.widgets.curves import loss, reward, throughput
from app.tui.widgets.panel import MUTED, Panel, fitting, retitle, text
from app.tui.widgets.plot import PlotPanel
from app.tui.widgets.rows import Rows
from app.tui.widgets.stages import Entry, at_work, entries, entry_line
from app.tui.widgets.tabs import TabLine

PAGES = ("Rates", "Plots", "Quality", "Samples", "Trained", "Dropped", "Pairs", "Items", "Config", "Files")
RECORDS: dict[str, tuple[str, Callable[..., Content], Callable[..., list[Content]]]] = {
    "Trained": ("filter/sft.jsonl", records.trained_line, records.row_lines),
    "Dropped": ("filter/rejected.jsonl", records.dropped_line, records.row_lines),
    "Pairs": ("pairs/pairs.jsonl", records.pair_line, records.pair_lines),
}
"""Pages that show a file row by row: the file, a row in the list, and the whole row."""


class Page(Struct, frozen=True):
    """What stands in the list of the right side. `whole` gives all there is to say of one entry, if there is more."""

    items: Sequence[Any]
    line: Callable[[Any, int], Sequence[Content]]
    token: object
    whole: Callable[[Any, int], list[Content]] | None = None
    note: str = ""


class RunView(Horizontal):
    """The followed run. The stage under the cursor decides what the pages are about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "page(-1)", show=False),
        Binding("right,l", "page(1)", show=False),
        Binding("escape", "back", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.page = "Rates"
        self._picture: Picture | None = None

    def compose(self) -> ComposeResult:
        yield Rows(id="stages")
        with Vertical(id="run-right"):
            yield TabLine(id="pages", names=PAGES)
            with Horizontal(id="plots"):
                for name, pick in (("loss", loss), ("reward", reward), ("tokens/s", throughput)):
                    empty = f"no {name} yet"
                    yield PlotPanel(pick, id=f"plot-{name.partition('/')[0]}", title=name, empty=empty)
            yield Rows(id="page")
            yield Rows(id="whole")

    @property
    def start(self) -> Rows:
        """What has the focus first."""
        return self.query_one("#stages", Rows)

    @property
    def stage(self) -> int | None:
        """The stage under the cursor."""
        chosen = self.start.chosen
        return chosen.stage if isinstance(chosen, Entry) else None

    @property
    def subjects(self) -> dict[str, str]:
        """The run that is shown, and the step under the cursor: of a stage its first."""
        run, chosen = self._picture.run if self._picture else None, self.start.chosen
        if run is None:
            return {}
        step = chosen.step or next(iter(chosen.steps), None) if isinstance(chosen, Entry) else None
        return {"run": run.run_id} | ({"step": step.step} if step is not None else {})

    def show(self, picture: Picture, _logs: Logs) -> None:
        """Draw the picture."""
        self._picture = picture
        run = picture.run
        found = entries(run) if run else []
        stages = self.start
        second = int(picture.now) if run and run.state == "running" else 0
        stages.fill(
            found, lambda entry, width: [fitting(entry_line(picture, entry, width), picture.glyphs)],
            (run, second), lambda entry: entry.key, at_work(found),
        )  # fmt: skip
        retitle(stages, fitting(run_title(picture), picture.glyphs))
        stages.set_class(picture.run_stale, "-stale")
        self.set_class(self.page == "Plots", "-plots")
        self.query_one(TabLine).show(self.page, picture.glyphs)
        for panel in self.query(Panel):
            panel.show(picture)
        self._show_page(picture, run)

    def _show_page(self, picture: Picture, run: Run | None) -> None:
        rows, whole = self.query_one("#page", Rows), self.query_one("#whole", Rows)
        width = max(20, rows.room)
        none = "no run is followed yet: r starts one" if picture.acts else "no run is followed here yet"
        page = told(none) if run is None else self._page(picture, run, width)
        g = picture.glyphs
        rows.fill(page.items, lambda item, room: [fitting(line, g) for line in page.line(item, room)],
                  (self.page, self.stage, width, page.token))  # fmt: skip
        title = run_pages.stage_title(run, self.stage) if run else ""
        note = f" {g.dot} {page.note}" if page.note else ""
        retitle(rows, fitting(text((self.page.upper(), "bold"), f" {title}", (note, MUTED)), g))
        self.set_class(page.whole is not None and len(page.items) > 0, "-records")
        if page.whole is not None and rows.chosen is not None:
            room = max(20, whole.room)
            chosen = rows.chosen
            token = (self.page, self.stage, page.token, rows.cursor, room)
            lines = [fitting(line, g) for line in page.whole(chosen, room)] if token != whole.token else ()
            whole.fill(lines, lambda line, _width: [line], token)
            retitle(whole, text((f"{rows.cursor + 1:,} of {len(page.items):,}", MUTED)))

    def _page(self, picture: Picture, run: Run, width: int) -> Page:
        """The page that is asked for, or why it cannot be shown."""
        stage = self.stage
        if self.page == "Files":
            kept = picture.home.read("files", rundir.kept_files)
            if not isinstance(kept, tuple):
                kept = ()
            return lines(run_pages.files_page(picture, run, kept), (run, kept))
        if self.page == "Config":
            return self._read(picture, "config", partial(_config, picture.home.others), config_lines)
        if stage is None:
            return told("nothing is known of a stage yet")
        if self.page in ("Rates", "Plots"):
            return self._rates(picture, run, stage, width)
        if self.page == "Quality":
            return self._read(picture, ("quality", stage), lambda root: rundir.quality(root, stage),
                              lambda found, p: run_pages.quality_page(found, p.glyphs, width))  # fmt: skip
        if self.page == "Samples":
            return self._samples(picture, stage)
        if self.page == "Items":
            return self._items(picture, stage)
        return self._records(picture, stage, *RECORDS[self.page])

    def _rates(self, picture: Picture, run: Run, stage: int, width: int) -> Page:
        found = picture.home.read(("items", stage), lambda root: rundir.discordant(root, stage))
        compared = found if isinstance(found, tuple) else ()
        token = (picture.gate(stage), len(run.metrics), bool(compared))
        return lines(run_pages.rates_page(picture, run, stage, compared, width), token)

    def _read(
        self,
        picture: Picture,
        what: Any,
        reader: Callable[[Path], Any],
        drawn: Callable[[Any, Picture], list[Content]],
    ) -> Page:
        found = picture.home.read(what, reader)
        missing = absent(found)
        return told(missing) if missing else lines(drawn(found, picture), (what, picture.home.mark))

    def _samples(self, picture: Picture, stage: int) -> Page:
        found = picture.home.read(("samples", stage), lambda root: rundir.samples(root, stage))
        missing = absent(found)
        if missing or not isinstance(found, rundir.Samples):
            return told(missing or "no instructions of this stage are at home")
        g = picture.glyphs
        return Page(
            range(len(found)),
            lambda place, _width: [records.family_line(found.family(place), g)],
            picture.home.mark,
            lambda place, width: records.family_lines(found.family(place), width, g),
            f"{len(found)} instructions",
        )

    def _items(self, picture: Picture, stage: int) -> Page:
        found = picture.home.read(("items", stage), lambda root: rundir.discordant(root, stage))
        missing = absent(found)
        if missing or not found:
            return told(missing or "this stage's gate compared nothing")
        assert isinstance(found, tuple)
        one, g = found[0], picture.glyphs
        return Page(
            one.items,
            lambda item, _width: [records.item_line(item, g)],
            picture.home.mark,
            lambda item, width: records.item_lines(item, one.a, one.b, width),
            f"{one.a} against {one.b}, where they differ",
        )

    def _records(
        self, picture: Picture, stage: int, path: str, line: Callable[..., Content], whole: Callable[..., list[Content]]
    ) -> Page:
        found = picture.home.read((path, stage), lambda root: rundir.rows_of(root / f"stage-{stage}" / path))
        missing = absent(found)
        if missing or not isinstance(found, rundir.RowFile):
            return told(missing or f"stage-{stage}/{path} is not at home")
        g = picture.glyphs
        return Page(found, lambda row, _width: [line(row, g)], picture.home.mark, whole, f"{len(found):,} rows")

    def action_page(self, by: int) -> None:
        """Another page."""
        self._turn(PAGES[(PAGES.index(self.page) + by) % len(PAGES)])

    def _turn(self, page: str) -> None:
        self.page = page
        self.query_one("#page", Rows).go(0)
        self.post_message(Outdated())

    def action_back(self) -> None:
        self.start.focus()

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self._turn(event.name)

    @on(Rows.Moved)
    def _moved(self, _event: Rows.Moved) -> None:
        self.post_message(Outdated())

    @on(Rows.Opened, "#stages")
    def _into_the_page(self, _event: Rows.Opened) -> None:
        self.query_one("#page", Rows).focus()

    @on(Rows.Opened, "#page")
    def _open_whole(self, event: Rows.Opened) -> None:
        picture = self._picture
        if picture is None or picture.run is None:
            return
        page = self._page(picture, picture.run, event.rows.room)
        if page.whole is not None:
            from app.tui.modals.help import Reader  # 40 ms of widgets nobody needs for the first frame

            body = "\n".join(line.plain for line in page.whole(event.rows.chosen, 100))
            self.app.push_screen(Reader(f"{self.page} {event.rows.cursor + 1} of {len(page.items)}", body))

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())


def run_title(picture: Picture) -> Content:
    """`RUN 1/5 0142`; one that is only looked at is `OLD 2/5`."""
    run, runs = picture.run, picture.state.runs
    if run is None:
        return text(("RUN ", "bold"), "none yet")
    at = runs.index(run.run_id) + 1 if run.run_id in runs else 0
    word = ("OLD ", "bold $warning") if at > 1 else ("RUN ", "bold")
    return text(word, (f"{at}/{len(runs)} " if at and len(runs) > 1 else "", MUTED), clean(run.run_id))


def _config(others: tuple[Path, ...], root: Path) -> rundir.Config | None:
    return rundir.config(root, others)


def config_lines(found: rundir.Config | None, _picture: Picture) -> list[Content]:
    """The configuration page, or that there is none."""
    return run_pages.config_page(found, 80) if found else [text(("run.json is not at home", MUTED))]


def absent(found: Any) -> str:
    """Why there is nothing to show, or nothing."""
    if found is None:
        return "reading"
    if isinstance(found, Absent):
        return "nothing of this run is at home yet: p pulls it"
    return f"cannot be read: {clean(found.why)}" if isinstance(found, Unreadable) else ""


def lines(content: list[Content], token: object) -> Page:
    """A page of text."""
    return Page(content, lambda line, _width: [line], token)


def told(why: str) -> Page:
    """A page with one sentence."""
    return lines([text((why, MUTED))], why)
