"""What every verb shares: the console, the ``--json`` option, printing of either form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON instead of tables.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace inputs, and files that omnicost did not write.")
]


def console(stderr: bool = False) -> Console:
    """The console of every verb: names, classes and annotators are shown, never read as markup."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_json(payload: Any) -> None:
    """Print plain data as indented JSON on standard output; NaN is refused."""
    typer.echo(json.dumps(payload, indent=2, allow_nan=False, default=str))
