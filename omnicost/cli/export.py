"""`omnicost export`: pseudo-labelled data sets for other trainers and for annotators."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.annotation import Policy
from omnicost.cli.shared import options
from omnicost.cli.shared.inputs import open_data_of
from omnicost.cli.shared.output import print_json, progress_bar
from omnicost.errors import InputError
from omnicost.files import refuse_to_replace

if TYPE_CHECKING:
    from omnicost.data import Dataset
    from omnicost.data.exports.regions import LabelledSet
    from omnicost.sweep.lookup import StoredCell


class ExportFormat(StrEnum):
    """Where the data set goes."""

    COCO = "coco"
    LABEL_STUDIO = "label-studio"
    CVAT = "cvat"
    YOLO = "yolo"


def export(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="File to write; a folder for label-studio and yolo.")],
    cell: options.Cell = None,
    store: options.Store = Path("store"),
    policy: Annotated[
        str | None, typer.Option(help="Without a cell: as mask=0.1,point=0.9.")
    ] = None,
    pseudomasks: Annotated[
        list[Path] | None, typer.Option(help="Without a cell: the masks to merge; repeats.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Without a cell: seed of the split.")] = 0,
    split: options.Split = "train",
    root: options.Root = None,
    form: Annotated[
        ExportFormat,
        typer.Option("--format", help="A file of COCO or CVAT, a folder of tasks or YOLO."),
    ] = ExportFormat.COCO,
    image_prefix: options.ImagePrefix = "",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write real masks merged with pseudo-masks, for another trainer or for annotators.

    A COCO file has all images, with a score and a source for each instance: 1 and
    human for real masks. Label Studio gets the images without real masks, as tasks
    whose pre-annotations are the pseudo-masks: to be corrected, not drawn. CVAT's XML
    has every mask, YOLO's lines their outlines. Labels that no mask was drawn for are
    told. Without --cell or --policy a set's own labels are written.

    \b
    Example:
      omnicost export ~/coco --cell coco/mask=0.1,point=0.9/seed=0 --out all.json
      omnicost export ~/coco --cell coco/mask=0.1,point=0.9/seed=0 \\
        --format label-studio --out tasks/ --image-prefix https://my.host/
      omnicost export ~/coco --policy mask=0.1,point=0.9 \\
        --pseudomasks pseudomasks/ --out merged.json
      omnicost export labelled/ --split all --format cvat --out annotations.xml
    """
    from omnicost.data.exports.merged import Merged
    from omnicost.data.exports.regions import OwnLabels
    from omnicost.data.exports.unmasked import unmasked_line

    _refuse(out, form, _inputs(data, split, root), force)
    merges = cell or policy or pseudomasks
    wanted = _wanted(cell, store, policy, pseudomasks or [], seed) if merges else None
    fingerprint = wanted.data if wanted else ""
    with progress_bar("reading") as progress:
        dataset = open_data_of(cell, store, fingerprint, data, split, root, progress)
    labels = _merged(dataset, wanted) if wanted else OwnLabels(dataset)
    written = _write(labels, out, form, image_prefix)
    # Told, so that nobody thinks they were written.
    lost = labels.unmasked() if isinstance(labels, Merged) else []
    if as_json:
        print_json({**written, "without_mask": [each._asdict() for each in lost]})
        return
    typer.echo("\n".join(f"{name}: {value}" for name, value in written.items()))
    if lost:
        typer.echo(unmasked_line(lost))


def _inputs(data: str, split: str, root: Path | None) -> list[Path]:
    """The data set and its own file of labels; of a tiny set that is drawn, none."""
    from omnicost.data.opening import TINY
    from omnicost.data.readers.layouts import find

    if data.startswith(TINY) and not Path(data).exists():
        return []
    place = Path(data if root is None else root).expanduser()
    try:
        return [place, find(place, split).annotations]
    except InputError:  # opening it says what is wrong
        return [place]


def _refuse(out: Path, form: ExportFormat, inputs: Sequence[Path], force: bool) -> None:
    """Keep what is not ours: the file, or in a folder each file that will be written."""
    from omnicost.data.exports.label_studio import refuse_tasks
    from omnicost.data.exports.yolo import refuse_yolo

    refuse_to_replace(out, inputs=inputs, force=force)
    if form is ExportFormat.LABEL_STUDIO:
        refuse_tasks(out, force)
    elif form is ExportFormat.YOLO:
        refuse_yolo(out, force)


def _merged(dataset: Dataset, wanted: StoredCell) -> LabelledSet:
    from omnicost.data.exports.merged import Merged, read_pseudomasks
    from omnicost.data.splits import assign

    strengths = assign(dataset, wanted.policy, wanted.seed, wanted.chosen)
    pseudo = read_pseudomasks(wanted.pseudomasks)
    return Merged(dataset, strengths, pseudo, wanted.noise, wanted.seed)


def _wanted(
    cell: str | None, store: Path, policy: str | None, pseudomasks: Sequence[Path], seed: int
) -> StoredCell:
    """What to merge: a finished cell's, or what is spelt out."""
    from omnicost.engine.store import Store
    from omnicost.sweep.lookup import StoredCell, find_cell

    if cell and (policy or pseudomasks):
        raise InputError("--cell", "stands with --policy or --pseudomasks", "give one or the other")
    if cell:
        return find_cell(Store(store, create=False), cell)
    if not (policy and pseudomasks):
        raise InputError("--cell", "is missing", "name one, or give --policy and --pseudomasks")
    return StoredCell(Policy.parse(policy, "--policy"), seed, tuple(pseudomasks), "")


def _write(
    labels: LabelledSet, out: Path, form: ExportFormat, image_prefix: str
) -> dict[str, object]:
    from omnicost.data.exports.coco import write_coco_json
    from omnicost.data.exports.cvat import write_cvat
    from omnicost.data.exports.label_studio import write_tasks
    from omnicost.data.exports.merged import Merged
    from omnicost.data.exports.yolo import write_yolo

    images = len(labels.dataset)
    with progress_bar("writing") as progress:
        if form is ExportFormat.LABEL_STUDIO:
            files = write_tasks(out, labels, image_prefix, progress=progress)
            return {"folder": str(out), "files": [path.name for path in files]}
        if form is ExportFormat.CVAT:
            shapes = write_cvat(out, labels, progress)
            return {"file": str(out), "images": images, "shapes": shapes}
        if form is ExportFormat.YOLO:
            counts = write_yolo(out, labels, progress)
            return {"folder": str(out), "images": images} | counts._asdict()
        if isinstance(labels, Merged):
            found = write_coco_json(out, labels.dataset, labels.annotations(progress))
        else:
            truth = labels.dataset.to_coco()["annotations"]
            found = write_coco_json(out, labels.dataset, truth, masks=False)
    return {"file": str(out), "images": images, "instances": found}
