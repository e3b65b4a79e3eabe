"""`omnicost export`: pseudo-labelled data sets for other trainers and for annotators."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.cells import (
    CellOption,
    DataArgument,
    RootOption,
    SplitOption,
    StoreOption,
    open_data_of,
)
from omnicost.cli.output import JsonOption, print_json
from omnicost.cli.progress import progress_bar
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.data.export import Merged, PseudoMasks
    from omnicost.sweep.lookup import StoredCell


class Format(StrEnum):
    """Where the data set goes."""

    COCO = "coco"
    LABEL_STUDIO = "label-studio"


def export(
    data: DataArgument,
    out: Annotated[
        Path, typer.Option("--out", help="COCO file, or folder for Label Studio, to write.")
    ],
    cell: CellOption = None,
    store: StoreOption = Path("store"),
    policy: Annotated[
        str | None, typer.Option("--policy", help="Without a cell: as mask=0.1,point=0.9.")
    ] = None,
    pseudomasks: Annotated[
        list[Path] | None,
        typer.Option("--pseudomasks", help="Without a cell: the masks to merge; repeats."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Without a cell: seed of the split.")] = 0,
    split: SplitOption = "train",
    root: RootOption = None,
    form: Annotated[
        Format, typer.Option("--format", help="A COCO file, or tasks with pre-annotations.")
    ] = Format.COCO,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="Put before names in Label Studio tasks.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write real masks merged with pseudo-masks, for another trainer or for annotators.

    A COCO file has all images, with a score and a source for each instance: 1 and
    human for real masks. Label Studio gets the images without real masks, as tasks
    whose pre-annotations are the pseudo-masks: to be corrected, not drawn.

    \b
    Example:
      omnicost export ~/coco --cell coco/mask=0.1,point=0.9/seed=0 --out merged.json
      omnicost export ~/coco --cell coco/mask=0.1,point=0.9/seed=0 \\
        --format label-studio --out tasks/ --image-prefix https://my.host/
      omnicost export ~/coco --policy mask=0.1,point=0.9 \\
        --pseudomasks pseudomasks/ --out merged.json
    """
    from omnicost.data.export import Merged
    from omnicost.data.splits import assign

    wanted = _wanted(cell, store, policy, pseudomasks or [], seed)
    with progress_bar("reading") as progress:
        dataset = open_data_of(cell, store, wanted.data, data, split, root, progress)
    strengths = assign(dataset, wanted.policy, wanted.seed)
    merged = Merged(dataset, strengths, _read(wanted.pseudomasks))
    written = _write(merged, out, form, image_prefix)
    if as_json:
        print_json(written)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in written.items()))


def _wanted(
    cell: str | None, store: Path, policy: str | None, pseudomasks: Sequence[Path], seed: int
) -> StoredCell:
    """What to merge: a finished cell's, or what is spelt out."""
    from omnicost.annotation import Policy
    from omnicost.engine.store import Store
    from omnicost.sweep.lookup import StoredCell, find_cell

    if cell and (policy or pseudomasks):
        raise InputError("--cell", "stands with --policy or --pseudomasks", "give one or the other")
    if cell:
        return find_cell(Store(store, create=False), cell)
    if not (policy and pseudomasks):
        raise InputError("--cell", "is missing", "name one, or give --policy and --pseudomasks")
    return StoredCell(Policy.parse(policy, "--policy"), seed, tuple(pseudomasks), "")


def _write(merged: Merged, out: Path, form: Format, image_prefix: str) -> dict[str, object]:
    from omnicost.data.export import write_coco_json
    from omnicost.data.label_studio import write_tasks

    with progress_bar("writing") as progress:
        if form is Format.LABEL_STUDIO:
            files = write_tasks(out, merged, image_prefix, progress=progress)
            return {"folder": str(out), "files": [path.name for path in files]}
        counts = write_coco_json(out, merged.dataset, merged.annotations(progress))
    return {"file": str(out), "images": len(merged.dataset), "instances": counts}


def _read(paths: Sequence[Path]) -> PseudoMasks:
    import pyarrow as pa

    from omnicost.data.export import PseudoMasks
    from omnicost.pipeline.pseudomask import generate as pseudomask

    table = pa.concat_tables([pseudomask.read(path) for path in paths])
    return PseudoMasks(
        image_ids=table["image_id"].to_numpy(),
        annotation_ids=table["annotation_id"].to_numpy(),
        class_indices=table["class_index"].to_numpy(),
        scores=table["score"].to_numpy(),
        sources=table["source"].to_pylist(),
        counts=table["rle"].to_pylist(),
    )
