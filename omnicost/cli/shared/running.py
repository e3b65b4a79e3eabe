"""Options of the verbs that compute stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StagesOption = Annotated[
    Path, typer.Option(help="Folder of finished stages, shared by all that computes.")
]
ChangesOption = Annotated[
    list[str] | None, typer.Option("--set", help="A change, as recipe.teacher.steps=100; repeats.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Count, price, say what is missing; run nothing.")
]
AddressOption = Annotated[str | None, typer.Option(help="Ray cluster; this machine if absent.")]
CpusOption = Annotated[
    int | None, typer.Option(min=1, help="CPUs of this machine to use; all if absent.")
]
