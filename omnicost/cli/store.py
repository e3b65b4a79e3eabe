"""`omnicost store`: what sweeps have finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.output import new_console, print_json
from omnicost.cli.shared.verbs import Verbs
from omnicost.errors import StageError

if TYPE_CHECKING:
    from omnicost.engine.store import Store

store = Verbs(name="store", help="Look after finished stages.", no_args_is_help=True)

FolderOption = Annotated[Path, typer.Option("--store", help="Folder of the store.")]


@store.command("ls")
def ls(
    folder: FolderOption = Path("store"),
    stage: Annotated[str | None, typer.Option(help="Only this kind, such as teacher.")] = None,
    as_json: options.Json = False,
) -> None:
    """List artefacts: what they are, their size, what they took, and how long they waited for data.

    \b
    Example:
      omnicost store ls
      omnicost store ls --stage student --json
    """
    from rich.table import Table

    from omnicost.engine.store import Store
    from omnicost.sweep.progress import duration

    opened = Store(folder, create=False)
    manifests = [each for each in opened.manifests() if stage in (None, each.stage)]
    manifests.sort(key=lambda each: each.started)
    if as_json:
        print_json([manifest.model_dump(exclude={"files"}) for manifest in manifests])
        return
    table = Table(
        "key", "stage", "what", "size", "took", "images/s", "waiting", box=None, pad_edge=False
    )
    for each in manifests:
        size = f"{each.size_bytes / 1e6:.1f} MB"
        rate = "" if each.images_per_second is None else f"{each.images_per_second:.3g}"
        took = duration(each.wall_seconds)
        waiting = f"{each.waiting:.0%}"
        table.add_row(each.key[:10], each.stage, each.label, size, took, rate, waiting)
    console = new_console()
    console.print(table)
    total = sum(each.size_bytes for each in manifests) / 1e9
    console.print(f"{len(manifests)} artefacts, {total:.2f} GB")
    damaged = len(list(opened.keys())) - len(list(opened.manifests()))
    if damaged:
        console.print(f"{damaged} more cannot be read: omnicost store verify")


@store.command("verify")
def verify(
    folder: FolderOption = Path("store"),
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete damaged artefacts; sweeps make them again.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Read every artefact in full and compare it with its manifest; exit code 2 on damage.

    \b
    Example:
      omnicost store verify
      omnicost store verify --delete
    """
    from omnicost.engine.store import Store

    opened = Store(folder, create=False)
    keys = list(opened.keys())
    damaged = {key: faults for key in keys if (faults := opened.faults(key))}
    if delete and damaged:
        opened.locks.settle()
        for key in damaged:
            opened.delete(key)
    if as_json:
        print_json({"artefacts": len(keys), "damaged": damaged, "deleted": delete})
    else:
        for key, faults in damaged.items():
            typer.echo(f"{key[:10]}: {'; '.join(faults)}{' (deleted)' if delete else ''}")
        typer.echo(f"{len(keys)} artefacts, {len(damaged)} damaged")
    if damaged and not delete:
        raise typer.Exit(2)


@store.command("gc")
def gc(
    folder: FolderOption = Path("store"),
    keep: Annotated[
        list[str] | None, typer.Option(help="Delete artefacts that no such card needs; repeats.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the kept cards' data set.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove what no running sweep needs: abandoned scratch, dead locks.

    With --keep, also every artefact that none of the named cards uses. Takes a
    minute more where another machine, or one before a reboot, has left locks:
    whoever is alive shows it in that time.

    \b
    Example:
      omnicost store gc --dry-run
      omnicost store gc --keep demo --keep tiny-coco
    """
    from omnicost.engine.store import Store

    opened = Store(folder, create=False)
    opened.locks.settle()
    leftovers = list(opened.leftovers())
    unneeded = sorted(set(opened.keys()) - _needed(opened.data, keep, data)) if keep else []
    size = sum(_size(path) for path in [*leftovers, *map(opened.path, unneeded)])
    busy = [] if dry_run else _remove(opened, leftovers, unneeded)
    told = {"leftovers": len(leftovers), "artefacts": len(unneeded), "bytes": size, "busy": busy}
    if as_json:
        print_json(told)
        return
    verb = "would remove" if dry_run else "removed"
    typer.echo(
        f"{verb} {len(leftovers)} leftovers and {len(unneeded)} artefacts, {size / 1e6:.1f} MB"
    )
    for key in busy:
        typer.echo(f"{key[:10]}: kept, it is being computed")


def _needed(cache: Path, cards: list[str], data: Path | None) -> set[str]:
    """Keys of all stages of the cards."""
    from omnicost.sweep.cards.read_card import Changes
    from omnicost.sweep.launch import Request, prepare

    needed: set[str] = set()
    for card in cards:
        prepared = prepare(Request(card, Changes(data=data)), cache)
        prepared.sources.require()  # keys of missing data would match nothing
        needed |= set(prepared.graph.stages)
    return needed


def _remove(opened: Store, leftovers: list[Path], unneeded: list[str]) -> list[str]:
    """Remove both; the keys that had to stay."""
    for path in leftovers:  # a sweep may have taken them meanwhile
        if path.suffix == ".lock":
            opened.locks.drop(path.stem)
        elif not path.is_dir():
            path.unlink(missing_ok=True)
        elif not opened.locks.is_held(path.name.partition(".")[0]):
            shutil.rmtree(path, ignore_errors=True)
    busy = []
    for key in unneeded:
        try:
            opened.delete(key)
        except StageError:
            busy.append(key)
    return busy


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
