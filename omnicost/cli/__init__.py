"""The command line: one thin file a verb, heavy imports inside the verbs."""

from __future__ import annotations

import sys

import typer

from omnicost.errors import OmnicostError

app = typer.Typer(
    name="omnicost",
    help="Measure, price and plan weak labels for instance segmentation.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register_verbs() -> None:
    """Import each verb's file; importing it registers the verb on `app`."""


_register_verbs()


def main() -> None:
    """Entry point: bad input is one line on standard error and exit code 1, never a traceback."""
    try:
        app()
    except OmnicostError as error:
        typer.echo(f"omnicost: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)
