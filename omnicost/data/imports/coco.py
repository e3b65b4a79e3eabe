"""COCO's json, as CVAT, Roboflow (`_annotations.coco.json`) and others export it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.coco import CocoFile, Faults, read_coco
from omnicost.coco.decode import segmentation_of
from omnicost.coco.given import BOX, MASK, POINT, UNSAID
from omnicost.data.imports.export import DrawnLabel, Export, Labelled
from omnicost.data.rle import to_rle


def read_coco_export(paths: list[Path]) -> Export:
    """The images of one or more files, which may share class names but no picture."""
    export = Export("coco")
    for path in paths:
        faults = Faults(path, collect=True)
        file = read_coco(path, faults=faults)
        for fault in faults.found:
            export.skip(fault.name, f"{path.name}: {fault.item}: {fault.detail}")
        order = np.argsort(file.category_ids, kind="stable").tolist()
        export.class_names += [file.category_names[n] for n in order]
        _add(export, file)
    return export


def _add(export: Export, file: CocoFile) -> None:
    rows: list[list[int]] = [[] for _ in file.image_ids]
    for row, image in enumerate(file.image_indices.tolist()):
        rows[image].append(row)
    types = tuple(AnnotationType)
    for image, name in enumerate(file.file_names):
        if not name:
            export.skip("image without file name", f"image {file.image_ids[image]}")
            continue
        height, width = file.image_sizes[image].tolist()
        said = int(file.said[image])
        found = [_drawn(export, file, row) for row in rows[image]]
        drawn = tuple(each for each in found if each is not None)
        size = (height, width) if height and width else None
        declared = None if said == UNSAID else types[said]
        export.images.append(Labelled(name, drawn, size, declared))


def _drawn(export: Export, file: CocoFile, row: int) -> DrawnLabel | None:
    number = int(file.annotation_ids[row])
    label = file.category_names[file.class_indices[row]]
    if file.is_crowd[row]:
        export.skip("crowd region", f"annotation {number}")
        return None
    shape = int(file.drawn[row])
    if shape == MASK:
        decode = partial(_mask, file.segmentations[row])
        return DrawnLabel(label, mask=decode, number=number)
    if shape == BOX:
        x, y, width, height = file.boxes[row].tolist()
        return DrawnLabel(label, box=(x, y, x + width, y + height), number=number)
    if shape == POINT:
        return DrawnLabel(label, point=tuple(file.points[row].tolist()), number=number)
    return DrawnLabel(label, number=number)


def _mask(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    counts = to_rle(segmentation_of(segmentation), height, width)
    return {"size": [height, width], "counts": counts}
