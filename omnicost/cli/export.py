"""`omnicost export`: pseudo-labelled data sets for other trainers and for annotators."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.output import JsonOption, print_json
from omnicost.cli.progress import progress_bar

if TYPE_CHECKING:
    from omnicost.data.export import Merged, PseudoMasks


class Format(StrEnum):
    """Where the data set goes."""

    COCO = "coco"
    LABEL_STUDIO = "label-studio"


def export(
    data: Annotated[str, typer.Argument(help="The data set: its folder, or a tiny set's name.")],
    pseudomasks: Annotated[
        list[Path],
        typer.Option("--pseudomasks", help="What the pseudo-mask step wrote; repeats."),
    ],
    policy: Annotated[str, typer.Option("--policy", help="Who has what, as mask=0.1,point=0.9.")],
    out: Annotated[
        Path, typer.Option("--out", help="COCO file, or folder for Label Studio, to write.")
    ],
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split, as in the sweep.")] = 0,
    split: Annotated[str, typer.Option("--split", help="Split of the data set.")] = "train",
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that a tiny set is drawn in.")
    ] = None,
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
      omnicost export ~/coco --policy mask=0.1,point=0.9 \\
        --pseudomasks pseudomasks/ --out merged.json
      omnicost export ~/coco --policy mask=0.1,point=0.9 --format label-studio \\
        --pseudomasks pseudomasks/ --out tasks/ --image-prefix https://my.host/
    """
    from omnicost.annotation import Policy
    from omnicost.data import open_dataset
    from omnicost.data.export import Merged
    from omnicost.data.splits import assign

    with progress_bar("reading") as progress:
        dataset = open_dataset(data, split, root=root, progress=progress)
    strengths = assign(dataset, Policy.parse(policy, "--policy"), seed)
    merged = Merged(dataset, strengths, _read(pseudomasks))
    written = _write(merged, out, form, image_prefix)
    if as_json:
        print_json(written)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in written.items()))


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
    from omnicost.pipeline import pseudomask

    table = pa.concat_tables([pseudomask.read(path) for path in paths])
    return PseudoMasks(
        image_ids=table["image_id"].to_numpy(),
        annotation_ids=table["annotation_id"].to_numpy(),
        class_indices=table["class_index"].to_numpy(),
        scores=table["score"].to_numpy(),
        sources=table["source"].to_pylist(),
        counts=table["rle"].to_pylist(),
    )
