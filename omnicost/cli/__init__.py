"""The command line: one thin file a verb, heavy imports inside the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from omnicost import __version__
from omnicost.cli.calibrate import calibrate as _calibrate
from omnicost.cli.cost import cost as _cost
from omnicost.cli.data import data as _data
from omnicost.cli.export import export as _export
from omnicost.cli.pilot import pilot as _pilot
from omnicost.cli.plan import plan as _plan
from omnicost.cli.plot import plot as _plot
from omnicost.cli.predict import predict as _predict
from omnicost.cli.review import review as _review
from omnicost.cli.shared.door import one_line_errors
from omnicost.cli.shared.verbs import Verbs
from omnicost.cli.store import store as _store
from omnicost.cli.sweep import sweep as _sweep
from omnicost.cli.train import train as _train

app = Verbs(
    name="omnicost",
    help="Measure, price and plan weak labels for instance segmentation.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"omnicost {__version__}")
        raise typer.Exit


# In the order that `omnicost --help` lists them: verbs before groups.
for _verb in (_cost, _pilot, _plan, _calibrate, _sweep, _train, _predict, _review, _export):
    app.command()(_verb)
for _group in (_store, _plot, _data):
    app.add_typer(_group)


def main() -> None:
    """Entry point: bad input is one line on standard error and exit code 1, never a traceback."""
    with one_line_errors():
        app()
