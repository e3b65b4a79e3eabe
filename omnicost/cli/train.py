"""`omnicost train`: a model from the labels that people made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.door import as_options
from omnicost.cli.shared.output import new_console, print_json, progress_bar
from omnicost.errors import StageError

if TYPE_CHECKING:
    from omnicost.engine.store import Store
    from omnicost.project.train import Training


def train(
    labelled: Annotated[
        Path, typer.Argument(help="A set with given labels, as omnicost data import writes.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model to make.")] = Path("model"),
    base: Annotated[
        str, typer.Option(help="Recipe, models and resources: paper, tiny, or a card's path.")
    ] = "paper",
    validation: Annotated[
        Path | None,
        typer.Option("--val", help="A set with masks to score on; else a fifth of the masked."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="A released student to begin from: a folder or hub id.")
    ] = None,
    settings: options.Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    store: options.Stages = Path("store"),
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps with the tiny models, as a trial.")
    ] = False,
    dry_run: options.DryRun = False,
    address: options.Address = None,
    cpus: options.Cpus = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files in --out that omnicost did not write.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train a segmenter on people's labels of any mixture of types.

    The teacher is tuned on the images with masks, draws pseudo-masks on the others,
    and a student learns from both. Two further teachers, each tuned on half of those
    images, say how good the pseudo-masks are (--set crossfit=false leaves them out).
    The folder holds the student, the merged labels as a COCO file, the figures with
    their intervals, pictures of the worst, the card that says what ran, and a page.
    Interrupted at any moment, the same command goes on where it was.

    \b
    Example:
      omnicost train labelled/ --out model/ --smoke
      omnicost train labelled/ --out model/ --base paper --address auto
      omnicost train labelled/ --out model/ --start tiny
    """
    from omnicost.engine.store import Store
    from omnicost.project.finish import refuse_outputs
    from omnicost.project.train import TrainRequest, prepare_training
    from omnicost.sweep.sources import Sources

    changed = [*(settings or ()), *([f"recipe.models.student={start}"] if start else [])]
    request = TrainRequest(labelled, out, base, validation, tuple(changed), seed, smoke, force)
    refuse_outputs(request)
    opened = Store(store)
    with progress_bar("opening the set") as progress:
        training = prepare_training(request, Sources(opened.data, progress))
    if dry_run:
        _tell_plan(training, opened, as_json)
        return
    _train(training, opened, address, cpus, as_json)


def _tell_plan(training: Training, store: Store, as_json: bool) -> None:
    from omnicost.sweep.estimate import estimate
    from omnicost.sweep.summary import estimate_json, estimate_lines, estimate_table

    prepared = training.prepared
    figures = estimate(prepared.graph, store, prepared.card.hardware)
    missing = [as_options(str(error)) for error in prepared.sources.missing.values()]
    if as_json:
        print_json({**estimate_json(figures), "labels": training.counts, "missing": missing})
    else:
        console = new_console()
        console.print(_labels(training), soft_wrap=True)
        console.print(estimate_table(figures, "train: dry run"))
        lines = [*estimate_lines(figures), *(f"missing: {text}" for text in missing)]
        console.print(*lines, sep="\n", soft_wrap=True)
    if missing:
        raise typer.Exit(1)


def _train(
    training: Training, store: Store, address: str | None, cpus: int | None, as_json: bool
) -> None:
    from omnicost.engine.ray.runner import RayOptions
    from omnicost.project.finish import write_outcome
    from omnicost.sweep.launch import sweep_card
    from omnicost.sweep.progress import SweepDisplay, Watcher

    errors = new_console(stderr=True)
    errors.print(_labels(training), soft_wrap=True)
    prepared = training.prepared
    prepared.sources.require()
    display = SweepDisplay(Watcher(prepared.graph, store), errors)
    try:
        with display.shown():
            finished = sweep_card(
                prepared, store, training.request.out, RayOptions(address, cpus), display.on_cell
            )
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from here", soft_wrap=True)
        raise typer.Exit(130) from None
    if finished.end.failed:
        raise StageError("; ".join(finished.end.failed.values()))
    with progress_bar("writing the model") as bar:
        outcome = write_outcome(training, store, bar)
    if as_json:
        print_json(outcome.as_json())
    else:
        typer.echo("\n".join(outcome.lines()))


def _labels(training: Training) -> str:
    """What the set holds, in one line."""
    counted = ", ".join(f"{number} {each}" for each, number in training.counts.items())
    held = "too few images with masks to score it (--val names a set)"
    if training.held_out:
        held = f"{training.held_out} images with masks score the model"
    return f"labels: {counted}; {held}"
