"""The command line: one thin file a verb, heavy imports inside the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from omnicost import __version__
from omnicost.cli.shared.door import one_line_errors
from omnicost.cli.shared.verbs import Verbs

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


# Verbs, in the order that `omnicost --help` lists them.
from omnicost.cli.calibrate import calibrate as _calibrate  # noqa: E402
from omnicost.cli.cost import cost as _cost  # noqa: E402
from omnicost.cli.data import data as _data  # noqa: E402
from omnicost.cli.export import export as _export  # noqa: E402
from omnicost.cli.pilot import pilot as _pilot  # noqa: E402
from omnicost.cli.plan import plan as _plan  # noqa: E402
from omnicost.cli.plot import plot as _plot  # noqa: E402
from omnicost.cli.predict import predict as _predict  # noqa: E402
from omnicost.cli.review import review as _review  # noqa: E402
from omnicost.cli.store import store as _store  # noqa: E402
from omnicost.cli.sweep import sweep as _sweep  # noqa: E402
from omnicost.cli.train import train as _train  # noqa: E402

app.command("cost")(_cost)
app.command("pilot")(_pilot)
app.command("plan")(_plan)
app.command("calibrate")(_calibrate)
app.command("sweep")(_sweep)
app.add_typer(_store)
app.add_typer(_plot)
app.add_typer(_data)
app.command("train")(_train)
app.command("predict")(_predict)
app.command("review")(_review)
app.command("export")(_export)


def main() -> None:
    """Entry point: bad input is one line on standard error and exit code 1, never a traceback."""
    with one_line_errors():
        app()
