"""`omnicost sweep`: measure what each kind of label buys."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.completion import complete_cards
from omnicost.cli.shared.door import as_options
from omnicost.cli.shared.output import new_console, print_json, progress_bar
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.engine.store import Store
    from omnicost.sweep.launch import Finished, Prepared, Request

FAILED_CELLS = 2  # exit code


def sweep(
    card: Annotated[
        str | None,
        typer.Argument(
            help="A shipped card's name, or a card of your own.", autocompletion=complete_cards
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that the data set is unpacked in.")
    ] = None,
    store: options.Stages = Path("store"),
    results: Annotated[Path, typer.Option(help="Folder for the rows and the plot.")] = Path(
        "results"
    ),
    seeds: Annotated[str | None, typer.Option(help="A count, or a list as 0,7.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Cells to run, as mask=0.1,type=point; repeats.")
    ] = None,
    settings: options.Changes = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The card, shrunk to a trial run on 40 images.")
    ] = False,
    teacher_only: Annotated[
        bool, typer.Option("--teacher-only", help="Measure pseudo-masks; train no student.")
    ] = False,
    dry_run: options.DryRun = False,
    decide: Annotated[
        bool, typer.Option("--decide", help="Train only the students that still change a plan.")
    ] = False,
    budgets: Annotated[
        str | None, typer.Option(help="Labelling hours that matter, as 50h,500h; decides.")
    ] = None,
    regret: Annotated[
        float | None, typer.Option(help="AP that plans may be expected to lose; decides.")
    ] = None,
    device_hours: Annotated[
        float | None, typer.Option(help="Most hours of devices for the card; decides.")
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="The front from what the store holds; run nothing.")
    ] = False,
    no_share: Annotated[
        bool, typer.Option("--no-share", help="Let no two cells share a stage (to compare).")
    ] = False,
    address: options.Address = None,
    cpus: options.Cpus = None,
    list_cards: Annotated[
        bool, typer.Option("--list", help="List the shipped cards and stop.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of cards and stop.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run a card: train teachers and students over its grid, one row a student.

    Interrupted at any moment, the same command goes on where it was: finished stages
    are never redone. Rows go to results/CARD.jsonl, a plot beside them. Exit code 2
    if a cell failed; the others finish. A dry run ends with 1 if something is missing.

    With --decide each next student is the one whose score is expected to help plans
    most per device-hour, and the sweep ends when plans are expected to lose no more
    than --regret, or at --device-hours. A later sweep without it takes up what is there.

    \b
    Example:
      omnicost sweep demo
      omnicost sweep coco --data ~/coco --dry-run
      omnicost sweep coco --data ~/coco --address auto --seeds 3
      omnicost sweep demo --decide --regret 0.3
      omnicost sweep coco --decide --budgets 50h,500h --device-hours 800
      omnicost sweep demo --forecast
      omnicost sweep mine.yaml --teacher-only
      omnicost sweep mine.yaml --only type=point --set recipe.teacher.steps=500
    """
    if list_cards or schema:
        _describe(schema, as_json)
        return
    if card is None:
        raise InputError("card", "none is named", "see omnicost sweep --list")
    from omnicost.sweep.cards.read_card import Changes
    from omnicost.sweep.launch import Request

    changed = [*(settings or ()), *(["measure=teacher"] if teacher_only else [])]
    told = {"budgets": budgets, "regret": regret, "device_hours": device_hours}
    told = {name: value for name, value in told.items() if value is not None}
    decides = told if decide or forecast or told else None
    changes = Changes(tuple(changed), seeds, smoke, data, decides)
    request = Request(card, changes, tuple(only or ()), not no_share)
    if forecast:
        _forecast(request, store, as_json)
    elif dry_run:
        _dry_run(request, store, as_json)
    else:
        _run(request, store, results, address, cpus, as_json)


def _describe(schema: bool, as_json: bool) -> None:
    from omnicost.sweep.cards.card import Card
    from omnicost.sweep.cards.read_card import header, shipped_cards

    cards = {path.stem: header(path) for path in shipped_cards()}
    if schema:
        print_json(Card.model_json_schema())
    elif as_json:
        print_json(cards)
    else:
        from rich.table import Table

        table = Table("card", "claim", "takes")
        for name, told in cards.items():
            table.add_row(name, told.get("Claim", ""), told.get("Takes", ""))
        new_console().print(table)


def _dry_run(request: Request, root: Path, as_json: bool) -> None:
    from omnicost.sweep.estimate import estimate
    from omnicost.sweep.summary import (
        caveats,
        estimate_json,
        estimate_lines,
        estimate_table,
        expected_line,
        stale_steps,
    )

    with _existing_store(root) as (store, cache):
        prepared = _prepare(request, cache)
        figures = estimate(prepared.whole, store, prepared.card.hardware)
        decider = prepared.decider(store)
        expected = None if decider is None else decider.expected()
    missing = [as_options(str(error)) for error in prepared.sources.missing.values()]
    cells = [plan.target.id for plan in prepared.whole.plans]
    notes = [*stale_steps(prepared.graph), *caveats(prepared.graph)]
    if as_json:
        told = {"missing": missing, "cell_names": cells, "caveats": notes}
        decided = {} if expected is None else {"deciding": expected._asdict()}
        print_json({**estimate_json(figures), **told, **decided})
    else:
        console = new_console()
        console.print(*cells, sep="\n")
        console.print(estimate_table(figures, f"{prepared.card.name}: dry run"))
        lines = [*(f"missing: {text}" for text in missing), *(f"note: {text}" for text in notes)]
        lines += [] if expected is None else [expected_line(expected)]
        console.print(*estimate_lines(figures), *lines, sep="\n", soft_wrap=True)
    if missing:
        raise typer.Exit(1)


def _forecast(request: Request, root: Path, as_json: bool) -> None:
    from omnicost.sweep.summary import decision_json, decision_lines, decision_table

    with _existing_store(root) as (store, cache):
        prepared = _prepare(request, cache)
        decider = prepared.decider(store)
        assert decider is not None  # as asked for
        decision = decider.decision()
    if as_json:
        print_json(decision_json(decision))
        return
    console = new_console()
    console.print(decision_table(decision, f"{prepared.card.name}: forecast from the store"))
    console.print(*decision_lines(decision), sep="\n", soft_wrap=True)


@contextlib.contextmanager
def _existing_store(root: Path) -> Iterator[tuple[Store | None, Path]]:
    """The store if there is one, and where to convert data; a dry run leaves nothing behind."""
    from omnicost.engine.store import Store

    if (root / "store.json").exists():
        store = Store(root, create=False)
        yield store, store.data
    elif root.exists() and not root.is_dir():
        raise InputError(root, "is not a folder", "name a new or empty folder")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield None, Path(scratch)


def _prepare(request: Request, cache: Path) -> Prepared:
    from omnicost.sweep.launch import prepare

    with progress_bar("opening data sets") as progress:
        return prepare(request, cache, progress)


def _run(
    request: Request,
    root: Path,
    results: Path,
    address: str | None,
    cpus: int | None,
    as_json: bool,
) -> None:
    from omnicost.engine.ray.runner import RayOptions
    from omnicost.engine.store import Store
    from omnicost.sweep.launch import sweep_card
    from omnicost.sweep.progress import SweepDisplay, Watcher
    from omnicost.sweep.rows import headline
    from omnicost.sweep.summary import stale_steps

    errors = new_console(stderr=True)
    store = Store(root)
    prepared = _prepare(request, store.data)
    _refuse_plot(prepared, results)
    prepared.sources.require()
    for text in stale_steps(prepared.graph):
        errors.print(f"note: {text}", soft_wrap=True)
    decides = prepared.card.decide is not None
    watcher = Watcher(prepared.graph, store, is_open=decides)
    if not prepared.graph.needed(store.has):
        count = len(prepared.graph.stages)
        errors.print(f"nothing to compute: all {count} stages are in {store.root}", soft_wrap=True)
    display = SweepDisplay(watcher, errors, lambda plan: headline(plan, store))
    cluster = RayOptions(address, cpus, prepared.card.scheduler)
    try:
        with display.shown():
            finished = sweep_card(prepared, store, results, cluster, display.on_cell, display.tell)
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from here", soft_wrap=True)
        raise typer.Exit(130) from None
    _report(prepared, finished, store, as_json)
    if finished.end.failed:
        raise typer.Exit(FAILED_CELLS)


def _refuse_plot(prepared: Prepared, results: Path) -> None:
    """Refuse, before days of work, a plot that would replace somebody's file."""
    from omnicost.plot.style import refuse_picture
    from omnicost.sweep.rows import results_path

    card = prepared.card
    if card.measure == "student":
        path = results_path(results, card.name, card.measure).with_suffix(".png")
        try:
            refuse_picture(path, "dataset,policy,")
        except InputError as error:  # a sweep has no --force
            remedy = "move it, or name another folder with `results`"
            raise InputError(error.where, error.problem, remedy) from None


def _report(prepared: Prepared, finished: Finished, store: Store, as_json: bool) -> None:
    from omnicost.sweep.summary import (
        caveats,
        decision_lines,
        decision_table,
        failure_lines,
        finished_json,
        next_command,
        results_table,
        teacher_table,
        troubled_stages,
    )

    plot = _plot(finished)
    notes = [*caveats(prepared.graph), *troubled_stages(prepared.graph, store)]
    if as_json:
        print_json({**finished_json(finished, plot), "caveats": notes})
        return
    console = new_console()
    title = f"{prepared.card.name} ({prepared.card.schedule} schedule)"
    lines = []
    if finished.teacher_rows:
        console.print(teacher_table(finished.teacher_rows, title))
        lines.append(f"rows: {finished.path}")
    if finished.rows:
        console.print(results_table(finished.rows, title))
        lines += [f"rows: {finished.path}", *([f"plot: {plot}"] if plot else [])]
        lines.append(f"next: {next_command(finished.rows, finished.path)}")
    if finished.decision is not None:
        console.print(decision_table(finished.decision, f"{prepared.card.name}: what was decided"))
        lines += decision_lines(finished.decision)
    lines += [f"note: {text}" for text in notes]
    lines += [f"failed: {line}" for line in failure_lines(finished.end.failed)]
    for line in lines:
        console.print(line, soft_wrap=True)


def _plot(finished: Finished) -> Path | None:
    """The Pareto plot of the card's rows, beside them; None without a comparable row."""
    from omnicost.plot.pareto import pareto_figure
    from omnicost.plot.pareto_info import compute_pareto_info, info_frame
    from omnicost.plot.style import save

    path = finished.path.with_suffix(".png")
    variants = {row.variant for row in finished.rows if not row.truncated}
    if len(variants) != 1:
        return None  # a front uses one variant, never a mixture
    info = compute_pareto_info(finished.rows)
    save(pareto_figure(info), path, info_frame(info))
    return path
