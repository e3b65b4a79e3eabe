"""Finished predictions as files: COCO, COCO's results, Label Studio's and CVAT's to correct.

All are written as the lines of the predictions are read, so memory does not grow with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from omnicost.annotation import AnnotationType
from omnicost.data.exports.cvat import DrawnImage, write_cvat_images
from omnicost.data.exports.label_studio import labelling_config, result, write_project
from omnicost.data.exports.pieces import write_pieces, write_texts
from omnicost.data.exports.regions import Region
from omnicost.files import MARK
from omnicost.labelling.label_studio import address
from omnicost.project.model_folder import ModelDescription
from omnicost.project.predict import coco_annotations, predicted

RESULTS_HEAD: Final = '[\n{"image_id":'  # how a results list of ours begins


def write_coco(out: Path, description: ModelDescription, parts: Path) -> list[Path]:
    """A COCO file: images, classes, and annotations that carry a score."""
    categories = [
        {"id": each, "name": name}
        for each, name in zip(description.category_ids, description.class_names, strict=True)
    ]
    frame = json.dumps({"info": {"description": MARK}, "categories": categories})
    images = (image for image, _ in predicted(parts))
    lists = {"images": images, "annotations": coco_annotations(parts)}
    write_texts(out, _with_lists(frame, lists))
    return [out]


def _with_lists(frame: str, lists: Mapping[str, Iterable[dict[str, Any]]]) -> Iterator[str]:
    """A JSON object with long lists added, an item at a time."""
    yield frame[:-1]
    for name, items in lists.items():
        yield f', "{name}": ['
        for number, each in enumerate(items):
            yield (",\n" if number else "\n") + json.dumps(each, separators=(",", ":"))
        yield "\n]"
    yield "}\n"


def write_results(out: Path, description: ModelDescription, parts: Path) -> list[Path]:
    """COCO's results format: a list of detections, as its evaluators and servers take it."""
    wanted = ("image_id", "category_id", "bbox", "segmentation", "score")
    write_pieces(
        out,
        "[\n",
        ({name: each[name] for name in wanted} for each in coco_annotations(parts)),
        "\n]\n",
    )
    return [out]


def write_tasks(
    folder: Path, description: ModelDescription, parts: Path, image_prefix: str = ""
) -> list[Path]:
    """Label Studio tasks whose pre-annotations are the predictions, and the labelling config."""
    interface = labelling_config(description.class_names)
    return write_project(folder, interface, _tasks(parts, description, image_prefix))


def write_cvat(out: Path, description: ModelDescription, parts: Path) -> list[Path]:
    """CVAT for images 1.1, which imports into a task of the same pictures."""
    write_cvat_images(out, description.class_names, _drawn(parts, description))
    return [out]


def _drawn(parts: Path, description: ModelDescription) -> Iterator[DrawnImage]:
    place = {each: n for n, each in enumerate(description.category_ids)}
    for image, found in predicted(parts):
        regions = [
            Region(AnnotationType.MASK, place[e["category_id"]], "", e["score"], _rle(e))
            for e in found
        ]
        size = image["height"], image["width"]
        yield DrawnImage(image["id"], image["file_name"], size, regions)


def _tasks(parts: Path, description: ModelDescription, prefix: str) -> Iterator[dict[str, Any]]:
    names = description.class_names
    for image_id, file_name, size, regions in _drawn(parts, description):
        results = [
            result(each, size, names[each.class_index], f"{image_id} {n}")
            for n, each in enumerate(regions)
        ]
        score = sum(each.score for each in regions) / len(regions) if regions else 0.0
        data = {"image": address(file_name, prefix), "image_id": image_id, "file_name": file_name}
        prediction = {"model_version": "omnicost", "score": score, "result": results}
        yield {"data": data, "predictions": [prediction]}


def _rle(annotation: dict[str, Any]) -> dict[str, Any]:
    segmentation = annotation["segmentation"]
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode("ascii")}
