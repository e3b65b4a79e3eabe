"""Verbs whose help flows: its source is wrapped for an editor, the terminal has its own width."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

EXAMPLE = "Example:\n"  # what follows is shown line by line


class _Verb(TyperCommand):
    """A command whose help has one line a paragraph, but for its example."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        prose, head, examples = inspect.cleandoc(self.help or "").partition("\b\n" + EXAMPLE)
        paragraphs = [" ".join(part.split()) for part in prose.strip().split("\n\n")]
        self.help = "\n\n".join([*paragraphs, head.lstrip("\b\n") + examples])


class Verbs(typer.Typer):
    """A group of verbs."""

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        """As typer's own, with help that flows."""
        return super().command(name, **{"cls": _Verb} | options)
