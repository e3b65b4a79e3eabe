"""`omnicost predict`: a trained model on a folder of pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.output import print_json, progress_bar
from omnicost.errors import InputError
from omnicost.files import refuse_to_replace
from omnicost.plain_text import visible

if TYPE_CHECKING:
    from omnicost.project.model_folder import ModelDescription

_FOR_CORRECTION = 0.5  # tasks show what is more likely there than not
_FOR_EVALUATION = 0.05


class PredictionFormat(StrEnum):
    """What is written."""

    COCO = "coco"
    RESULTS = "coco-results"
    LABEL_STUDIO = "label-studio"
    CVAT = "cvat"


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that omnicost train wrote.")],
    photos: Annotated[Path, typer.Argument(help="Folder of pictures, searched in depth.")],
    out: Annotated[Path, typer.Option(help="File to write; a folder for label-studio.")] = Path(
        "predictions.json"
    ),
    form: Annotated[
        PredictionFormat,
        typer.Option("--format", help="COCO file, COCO's results list, or masks to correct."),
    ] = PredictionFormat.COCO,
    least_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="0.05 for COCO, 0.5 for correction if absent."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="COCO file whose image ids to use, by file name.")
    ] = None,
    image_prefix: options.ImagePrefix = "",
    device: Annotated[
        str | None, typer.Option(help="Such as cuda:1; a GPU if there is one.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 8,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Find instances in any number of pictures with a trained model.

    Interrupted, the same command goes on where it was. Pictures that cannot be read
    are named at the end; the others are predicted. For correction: Label Studio's
    tasks with pre-annotations, or a CVAT for images 1.1 file.

    \b
    Example:
      omnicost predict model/ new-photos/ --out predictions.json
      omnicost predict model/ new-photos/ --format label-studio --out tasks/
      omnicost predict model/ new-photos/ --format cvat --out annotations.xml
    """
    from omnicost.project.predict import PredictOptions, list_photos, predict_folder, summary

    parts = out.with_name(f".{out.name}.parts")
    _refuse(out, parts, form, ids, force)
    is_corrected = form in (PredictionFormat.LABEL_STUDIO, PredictionFormat.CVAT)
    default = _FOR_CORRECTION if is_corrected else _FOR_EVALUATION
    least = default if least_score is None else least_score
    listed = list_photos(photos, ids)
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar("predicting") as progress:
        asked = PredictOptions(least, batch, device or _best_device())
        description = predict_folder(model, listed, parts, asked, progress)
    written = _write(out, parts, form, description, image_prefix)
    done = summary(parts)
    parts.unlink()
    if as_json:
        print_json({"files": [str(path) for path in written], **done._asdict()})
        return
    typer.echo(f"{done.instances} instances in {done.pictures} pictures: {out}")
    for line in done.skipped:
        typer.echo(f"skipped: {visible(line)}", err=True)


def _refuse(out: Path, parts: Path, form: PredictionFormat, ids: Path | None, force: bool) -> None:
    """Keep what is not ours: the file or the folder's files, and where the scratch file goes."""
    from omnicost.data.exports.label_studio import refuse_tasks
    from omnicost.project.predict import PARTS_HEAD
    from omnicost.project.predictions import RESULTS_HEAD

    head = RESULTS_HEAD if form is PredictionFormat.RESULTS else ""
    refuse_to_replace(out, inputs=(ids,), force=force, head=head)
    refuse_to_replace(parts, head=PARTS_HEAD)
    if form is PredictionFormat.LABEL_STUDIO:
        refuse_tasks(out, force)
    elif out.is_dir():
        raise InputError(out, "is a folder", "name the file to write")


def _write(
    out: Path,
    parts: Path,
    form: PredictionFormat,
    description: ModelDescription,
    image_prefix: str,
) -> list[Path]:
    from omnicost.project import predictions

    if form is PredictionFormat.LABEL_STUDIO:
        return predictions.write_tasks(out, description, parts, image_prefix)
    if form is PredictionFormat.CVAT:
        return predictions.write_cvat(out, description, parts)
    if form is PredictionFormat.RESULTS:
        return predictions.write_results(out, description, parts)
    return predictions.write_coco(out, description, parts)


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
