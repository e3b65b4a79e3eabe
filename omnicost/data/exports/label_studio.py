"""Pseudo-masks as Label Studio pre-annotations, so that annotators correct instead of draw."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data.exports.brush import brush_rle
from omnicost.data.exports.merged import Merged
from omnicost.data.exports.pieces import write_pieces, write_texts
from omnicost.data.exports.regions import LabelledSet, OwnLabels, Region
from omnicost.files import is_ours, refuse_to_replace
from omnicost.labelling.label_studio import PICTURE, address, view
from omnicost.progress import Progress, silent

# The controls of the labelling config: what draws a type, and its name.
CONTROLS: Final[Mapping[AnnotationType, tuple[str, str]]] = {
    AnnotationType.MASK: ("BrushLabels", "tag"),
    AnnotationType.BOX: ("RectangleLabels", "boxes"),
    AnnotationType.POINT: ("KeyPointLabels", "points"),
    AnnotationType.CLASS: ("Choices", "tags"),
}
TASKS_HEAD: Final = "[\n"
OUR_TASKS: Final = f'{TASKS_HEAD}{{"data":{{"image":'  # how files of ours begin
OUR_CONFIG: Final = f'<View>\n  <Image name="{PICTURE}" value="$image" zoom="true"'
CONFIG: Final = "labelling_config.xml"
TASKS_PER_FILE: Final = 200  # brush masks are long, and Label Studio reads an import whole


def labelling_config(
    class_names: tuple[str, ...], types: Collection[AnnotationType] = (AnnotationType.MASK,)
) -> str:
    """The project's labelling interface, which the tasks refer to: a control for each type."""
    return view((CONTROLS[each] for each in types), class_names)


def task(labels: LabelledSet, index: int, image_prefix: str = "") -> dict[str, Any]:
    """One image and what is drawn in it as a task with a prediction."""
    dataset, regions = labels.dataset, labels.regions(index)
    name, image_id = str(dataset.file_names[index]), int(dataset.image_ids[index])
    data = {"image": address(name, image_prefix), "image_id": image_id, "file_name": name}
    if dataset.given is not None and isinstance(labels, OwnLabels):
        data["annotation_type"] = str(dataset.type_of(index))
    height, width = dataset.sizes[index].tolist()
    results = [
        result(each, (height, width), dataset.class_names[each.class_index], f"{image_id} {n}")
        for n, each in enumerate(regions)
    ]
    score = float(np.mean([each.score for each in regions])) if regions else 0.0
    prediction = {"model_version": "omnicost", "score": score, "result": results}
    return {"data": data, "predictions": [prediction]}


def result(drawn: Region, size: tuple[int, int], label: str, name: str) -> dict[str, Any]:
    """One region of a prediction; coordinates are percent of the sides.

    Args:
        drawn: what it is.
        size: height and width of the picture.
        label: name of its class.
        name: unique within the task.
    """
    tag, control = CONTROLS[drawn.annotation]
    height, width = size
    value: dict[str, Any] = {}
    if drawn.rle is not None:
        value = {"format": "rle", "rle": brush_rle(mask_api.decode(drawn.rle))}
    elif drawn.box is not None:
        x0, y0, x1, y1 = drawn.box
        place = {"x": x0 / width, "y": y0 / height}
        place |= {"width": (x1 - x0) / width, "height": (y1 - y0) / height}
        value = {key: 100 * share for key, share in place.items()} | {"rotation": 0}
    elif drawn.point is not None:
        value = {"x": 100 * drawn.point[0] / width, "y": 100 * drawn.point[1] / height, "width": 1}
    return {
        "id": hashlib.sha256(name.encode()).hexdigest()[:10],
        "type": tag.lower(),
        "from_name": control,
        "to_name": PICTURE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": drawn.score,
        "value": value | {tag.lower(): [label]},
    }


def refuse_tasks(folder: Path, force: bool = False) -> None:
    """Refuse a folder in which tasks or an interface that are not ours would be replaced.

    Raises:
        InputError: naming the file, unless `force`.
    """
    refuse_to_replace(folder / CONFIG, force=force, head=OUR_CONFIG)
    for path in sorted(folder.glob("tasks-*.json")):
        refuse_to_replace(path, force=force, head=OUR_TASKS)


def write_tasks(
    folder: Path,
    labels: LabelledSet,
    image_prefix: str = "",
    tasks_per_file: int = TASKS_PER_FILE,
    progress: Progress = silent,
) -> list[Path]:
    """Write images as tasks, some to a file, and the labelling config.

    Images with real masks of a merged set are left out: they need no correcting.

    Args:
        folder: where; made if it does not exist.
        labels: the images and what is drawn in them.
        image_prefix: URL or path put before file names.
        tasks_per_file: how many images a file holds.
        progress: told of images.

    Returns:
        The files written.

    Raises:
        InputError: if they cannot be written.
    """
    dataset = labels.dataset
    indices, types = list(range(len(dataset))), [AnnotationType.MASK]
    if isinstance(labels, Merged):
        indices = np.flatnonzero(~labels.is_human).tolist()
    elif dataset.given is not None:
        types = [each for each in CONTROLS if str(each) in (dataset.types() or {})]

    def tasks() -> Iterator[dict[str, Any]]:
        for done, index in enumerate(indices, start=1):
            yield task(labels, index, image_prefix)
            progress(done, len(indices), {})

    interface = labelling_config(dataset.class_names, types)
    return write_project(folder, interface, tasks(), tasks_per_file)


def write_project(
    folder: Path, interface: str, tasks: Iterator[Any], tasks_per_file: int = TASKS_PER_FILE
) -> list[Path]:
    """Write an interface and its tasks, and take away what an earlier export of ours left.

    Raises:
        InputError: if they cannot be written.
    """
    written = [folder / CONFIG]
    write_texts(written[0], [interface])
    for number, first in enumerate(tasks, start=1):
        written.append(folder / f"tasks-{number:05d}.json")
        some = chain([first], islice(tasks, tasks_per_file - 1))
        write_pieces(written[-1], TASKS_HEAD, some, "\n]\n")
    for path in {*folder.glob("tasks-*.json")} - {*written}:
        # Whoever imports the folder would take them for tasks of this export.
        if is_ours(path, OUR_TASKS):
            path.unlink()
    return written
