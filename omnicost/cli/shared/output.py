"""What every verb shares: the console, the ``--json`` option, printing of either form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from omnicost.plain_text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON instead of tables.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace inputs, and files that omnicost did not write.")
]

OUTPUT_PANEL: Final = "Output"
ImagePrefixOption = Annotated[
    str,
    typer.Option(
        help="Put before file names in tasks, as https://host/photos/ or "
        "'/data/local-files/?d=photos/' for Label Studio's local files.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def console(stderr: bool = False) -> Console:
    """The console of every verb: names, classes and annotators are shown, never obeyed.

    They are no markup, and what would steer the terminal or turn the line around is spelled out.
    """
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

    return Plain(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_json(payload: Any) -> None:
    """Print plain data as indented JSON on standard output; NaN is refused."""
    typer.echo(json.dumps(payload, indent=2, allow_nan=False, default=str))
