"""Finished predictions as files: COCO, COCO's results, tasks to correct in Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from omnicost.data.exports.label_studio import TASKS_PER_FILE, labelling_config, region
from omnicost.data.exports.pieces import write_pieces
from omnicost.files import MARK
from omnicost.project.model_folder import ModelDescription
from omnicost.project.predict import coco_annotations, coco_images, records

RESULTS_HEAD: Final = '[\n{"image_id":'  # how a results list of ours begins


def write_coco(out: Path, description: ModelDescription, parts: Path) -> list[Path]:
    """A COCO file: images, classes, and annotations that carry a score."""
    categories = [
        {"id": each, "name": name}
        for each, name in zip(description.category_ids, description.class_names, strict=True)
    ]
    frame = {"info": {"description": MARK}, "images": coco_images(parts), "categories": categories}
    write_pieces(
        out, json.dumps(frame)[:-1] + ', "annotations": [\n', coco_annotations(parts), "\n]}\n"
    )
    return [out]


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
    names = dict(zip(description.category_ids, description.class_names, strict=True))
    config = folder / "labelling_config.xml"
    write_pieces(config, labelling_config(description.class_names), (), "")
    written, tasks = [config], _tasks(parts, names, image_prefix)
    for number in range(1, 10**6):
        some = list(islice(tasks, TASKS_PER_FILE))
        if not some:
            break
        written.append(folder / f"tasks-{number:05d}.json")
        write_pieces(written[-1], "[\n", some, "\n]\n")
    return written


def _tasks(parts: Path, names: dict[int, str], prefix: str) -> Iterator[dict[str, Any]]:
    for record in records(parts):
        if "skipped" in record:
            continue
        image, found = record["image"], record["annotations"]
        regions = [
            region(f"{image['id']} {n}", _rle(each), names[each["category_id"]], each["score"])
            for n, each in enumerate(found)
        ]
        score = sum(each["score"] for each in found) / len(found) if found else 0.0
        yield {
            "data": {"image": prefix + image["file_name"], "image_id": image["id"]},
            "predictions": [{"model_version": "omnicost", "score": score, "result": regions}],
        }


def _rle(annotation: dict[str, Any]) -> dict[str, Any]:
    segmentation = annotation["segmentation"]
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode("ascii")}
