"""A bar for work that takes more than a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from omnicost.cli.shared.output import console as new_console
from omnicost.progress import Progress


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
