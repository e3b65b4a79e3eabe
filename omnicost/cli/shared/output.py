"""What verbs print: tables or ``--json``, on a console that obeys nobody's text, and a bar."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from omnicost.plain_text import visible
from omnicost.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def new_console(stderr: bool = False) -> Console:
    """The console of every verb: names, classes and annotators are shown, never obeyed.

    They are no markup, and what would steer the terminal or turn the line around is spelled out.
    """
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

    return Plain(stderr=stderr, highlight=False, markup=False, emoji=False)


def plain_table(*headings: str, left: Collection[str] = ()) -> Table:
    """A table without lines: names in the first column, figures in the others but those `left`."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for n, heading in enumerate(headings):
        table.add_column(heading, justify="left" if n == 0 or heading in left else "right")
    return table


def print_json(payload: Any) -> None:
    """Print plain data as indented JSON on standard output; NaN is refused."""
    typer.echo(json.dumps(payload, indent=2, allow_nan=False, default=str))


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on standard error while the block runs, none where that is no terminal.

    Yields:
        What to call with (done, total, figures); repeated totals start it anew.
    """
    from rich.progress import Progress as Bar

    console = new_console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, figures: bar.update(task, completed=done, total=total)
