"""Writes the command-line reference from the commands themselves.

``python -m omnicost.cli.reference --write docs/cli.md`` writes it, ``--check`` fails when the file
is out of date.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from omnicost.cli import app
from omnicost.cli.shared.verbs import EXAMPLE

_HEADER = (
    "# Command line\n\n"
    "Generated from the commands by `make docs`; do not edit. Bad input is one line on standard\n"
    "error and exit code 1; a wrong option is exit code 2.\n"
)


def commands(name: str = "omnicost", command: Any = None) -> Iterator[tuple[str, Any]]:
    """Every verb as ``(full name, command)``, groups left out, in the order of ``--help``."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield name, command
        return
    for child_name, child in command.commands.items():
        yield from commands(f"{name} {child_name}", child)


def render() -> str:
    """The whole reference as Markdown."""
    return "\n".join([_HEADER, *(_section(name, command) for name, command in commands())])


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *map(_metavar, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [f"| {_spelling(p)} | {_describe(p)} |" for p in [*arguments, *options]]
    table = ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([f"## {name}", _help(command), "", f"    {usage}", "", *table])


def _help(command: Any) -> str:
    intro, _, examples = (command.help or "").partition(EXAMPLE)
    prose = "\n\n".join(textwrap.fill(part, 100) for part in intro.strip().split("\n\n"))
    indented = "\n".join(f"    {line}".rstrip() for line in examples.splitlines())
    return prose + (f"\n\nExample:\n\n{indented}" if indented else "")


def _metavar(param: Any) -> str:
    name = (param.name or "").upper()
    return name if param.required else f"[{name}]"


def _spelling(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_metavar(param)}`"
    return ", ".join(f"`{spelling}`" for spelling in [*param.opts, *param.secondary_opts])


def _describe(param: Any) -> str:
    text = " ".join((param.help or "").split()).replace("|", "\\|")
    default = param.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool)
    return f"{text} Default: `{default}`." if shown else text


def _main(
    write: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    check: Annotated[Path | None, typer.Option(help="File that must be current.")] = None,
) -> None:
    """Write the command-line reference, or check that it is current."""
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(render())
    if check is not None and (not check.exists() or check.read_text() != render()):
        typer.echo(f"{check} is out of date; run make docs", err=True)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(_main)
