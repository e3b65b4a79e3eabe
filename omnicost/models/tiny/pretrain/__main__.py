"""``python -m omnicost.models.tiny.pretrain``: make the tiny models again, from nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from omnicost.errors import OmnicostError
from omnicost.models.tiny.pretrain.loop import one_thread
from omnicost.progress import Progress

# In the order in which others wait for them: the students read the backbone, the teacher the text.
ORDER = ("text", "backbone", "student", "detector", "sam")


class PretrainedModel(StrEnum):
    """What to make."""

    SAM = "sam"
    DETECTOR = "detector"
    TEXT = "text"
    BACKBONE = "backbone"
    STUDENT = "student"
    ALL = "all"


def main(
    recipe: Annotated[PretrainedModel, typer.Argument(help="Which model to train.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the weights and of the runs.")],
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Fewer or more steps than the recipe's.")
    ] = None,
) -> None:
    """Pretrain the tiny models, none on a data set; a killed run continues from its checkpoint.

    Weights go to OUT/<model>, checkpoints and logs to OUT/runs/<model>.

    \b
    Example:
      python -m omnicost.models.tiny.pretrain text --out out/tiny
      python -m omnicost.models.tiny.pretrain all --out out/trial --steps 20
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files written and read
    names = ORDER if recipe is PretrainedModel.ALL else (recipe.value,)
    try:
        for name in names:
            _pretrain(name, out, steps)
    except OmnicostError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def _pretrain(name: str, out: Path, steps: int | None) -> None:
    module = import_module(f"omnicost.models.tiny.pretrain.{name}")
    schedule = module.SCHEDULE if steps is None else replace(module.SCHEDULE, steps=steps)
    folder = out / module.FOLDER
    with one_thread(), _progress(name) as report:
        module.pretrain(folder, out / "runs" / module.FOLDER, schedule, report)
    typer.echo(f"{name}: written to {folder}")


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """A bar on a terminal; a line every 100 steps in a file."""
    if not sys.stderr.isatty():
        yield _plain_report(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as progress:
        task = progress.add_task(name)

        def report(done: int, total: int, figures: dict[str, Any]) -> None:
            text = f"{name} loss {figures.get('loss', float('nan')):.3f}"
            progress.update(task, completed=done, total=total, description=text)

        yield report


def _plain_report(name: str) -> Progress:
    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        if done % 100 == 0 or done == total:
            text = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"{name} {done}/{total}  {text}", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    typer.run(main)
