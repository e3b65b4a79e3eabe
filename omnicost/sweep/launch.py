"""A sweep from card to rows: what `omnicost sweep` does, without the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omnicost.engine.graph import Graph, build_graph
from omnicost.engine.store import Store
from omnicost.progress import Progress, silent
from omnicost.results import Row, TeacherRow
from omnicost.sweep.candidates import candidates
from omnicost.sweep.cards.card import Card, Cell
from omnicost.sweep.cards.read_card import Changes, load_card, only
from omnicost.sweep.decider import Decider, Decision
from omnicost.sweep.rows import (
    existing_rows,
    record_row,
    results_path,
    row_of,
    teacher_rows_of,
    write_teacher_rows,
)
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan, planner

if TYPE_CHECKING:
    from omnicost.engine.ray.runner import Completion, RayOptions


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    Args:
        filters: as of `--only`; none takes every cell.
        share: whether cells share stages.
    """

    card: str | Path
    changes: Changes = field(default_factory=Changes)
    filters: Sequence[str] = ()
    share: bool = True


@dataclass(frozen=True)
class Prepared:
    """A card with its cells planned; `sources.missing` says what it lacks.

    Where the card decides, the graph has all that may be trained.
    """

    card: Card
    graph: Graph[Cell]
    sources: Sources

    @property
    def whole(self) -> Graph[Cell]:
        """The card's own cells, repeats and shorter schedules of deciding left out."""
        own = {cell.id for cell in self.card.cells()}
        plans = tuple(plan for plan in self.graph.plans if plan.target.id in own)
        keys = {stage.key for plan in plans for stage in plan.stages}
        return Graph(plans, {k: s for k, s in self.graph.stages.items() if k in keys})

    def decider(
        self, store: Store | None, tell: Callable[[str], None] = lambda line: None
    ) -> Decider | None:
        """What decides which students are trained; None where all are."""
        if self.card.decide is None:
            return None
        return Decider(self.graph, self.card.decide, self.sources, store, tell)


@dataclass(frozen=True)
class Finished:
    """What a sweep left behind.

    Args:
        rows: of this card's finished cells, in its order; empty where it measures teachers.
        path: the file that holds them.
        decision: where the card decides.
    """

    end: Completion
    rows: tuple[Row, ...]
    teacher_rows: tuple[TeacherRow, ...]
    path: Path
    decision: Decision | None = None


def prepare(request: Request, cache: Path, progress: Progress = silent) -> Prepared:
    """Read the card, open what it reads, plan its cells.

    Args:
        cache: folder for converted annotations and drawn data sets.
        progress: told of (done, total) while a data set is drawn or converted.

    Raises:
        InputError, ConfigError: on a fault of the card or of a data set.
    """
    card = load_card(request.card, request.changes)
    return prepare_card(card, Sources(cache, progress), request.filters, request.share)


def prepare_card(
    card: Card, sources: Sources, filters: Sequence[str] = (), share: bool = True
) -> Prepared:
    """Plan the cells of a card, those that match the filters."""
    cells = only(card.cells(), filters)
    if card.decide is not None:
        cells = candidates(cells, card.decide)
    return Prepared(card, build_graph(cells, planner(card, sources), share=share), sources)


def sweep_card(
    prepared: Prepared,
    store: Store,
    results: Path,
    options: RayOptions,
    watch: Callable[[CellPlan, str], None] = lambda plan, state: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Finished:
    """Compute what is missing and have every finished cell's row in its file.

    Args:
        results: folder for the rows.
        watch: told of every change of a cell's state, after its row is written.
        tell: told of every decision, where the card decides.

    Raises:
        MissingError: naming all data and weights that are missing.
    """
    from omnicost.engine.ray.runner import complete

    prepared.sources.require()
    measure = prepared.card.measure
    path = results_path(results, prepared.card.name, measure)
    path.parent.mkdir(parents=True, exist_ok=True)
    if measure == "student":
        existing_rows(path)  # found to be no results file now, not after days

    def on_cell(plan: CellPlan, state: str) -> None:
        if measure == "student" and _is_finished(plan, store):
            record_row(_file_of(plan, path), row_of(plan, store, prepared.sources))
        watch(plan, state)

    decider = prepared.decider(store, tell)
    end = complete(prepared.graph, store, replace(options, chooser=decider), on_cell)
    done = [plan for plan in prepared.graph.plans if _is_finished(plan, store)]
    if measure != "student":
        found = _teacher_rows(done, store, prepared.sources) if measure == "teacher" else ()
        if found:
            write_teacher_rows(path, found)
        return Finished(end, (), found, path)
    scores = {cell: stopped.scores for cell, stopped in end.stopped.items() if stopped.scores}
    done += [plan for plan in prepared.graph.plans if plan.target.id in scores]
    rows = [row_of(plan, store, prepared.sources, scores.get(plan.target.id)) for plan in done]
    for plan, row in zip(done, rows, strict=True):
        record_row(_file_of(plan, path), row)
    whole = [row for plan, row in zip(done, rows, strict=True) if plan.target.shortened == 1]
    decision = None if decider is None else decider.decision(end.failed)
    return Finished(end, tuple(whole), (), path, decision)


def _file_of(plan: CellPlan, path: Path) -> Path:
    """Students on a shorter schedule are in a file of their own: no front may mix them."""
    return path if plan.target.shortened == 1 else path.with_suffix(".shorter.jsonl")


def _is_finished(plan: CellPlan, store: Store) -> bool:
    return all(map(store.has, plan.outputs.values()))


def _teacher_rows(
    plans: Sequence[CellPlan], store: Store, sources: Sources
) -> tuple[TeacherRow, ...]:
    """A row for each measured teacher, once where recipes differ in what it does not use."""
    first: dict[str, CellPlan] = {}
    for plan in plans:
        if "quality" in plan.outputs:  # not where all have masks
            first.setdefault(plan.outputs["quality"], plan)
    return tuple(row for plan in first.values() for row in teacher_rows_of(plan, store, sources))
