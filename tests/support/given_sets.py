"""Sets with given labels on disk, and what labelling tools would export of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from simulated_labels import simulate_labels

from omnicost.annotation import Policy
from omnicost.data import Dataset
from omnicost.data.exports.cvat import write_cvat
from omnicost.data.exports.label_studio import task
from omnicost.data.exports.regions import OwnLabels
from omnicost.data.imports.write import Like

FORMS: Final = ("coco", "cvat", "label-studio")


def write_given(folder: Path, dataset: Dataset, policy: Policy, seed: int = 0) -> Path:
    """A folder of pictures, and the labels that a simulation would draw for them."""
    (folder / "images").mkdir(parents=True)
    for index in range(len(dataset)):
        shutil.copyfile(dataset.path(index), folder / "images" / str(dataset.file_names[index]))
    content = simulate_labels(dataset, policy, seed).to_coco()
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def write_export(folder: Path, labels: Dataset, form: str) -> Path:
    """Given labels as a tool's export: CVAT's XML, Label Studio's tasks, or a COCO file."""
    if form == "cvat":
        path = folder / "annotations.xml"
        write_cvat(path, OwnLabels(labels))
        return path
    path = folder / f"{form}.json"
    tasks = [_done(task(OwnLabels(labels), index)) for index in range(len(labels))]
    path.write_text(json.dumps(labels.to_coco() if form == "coco" else tasks))
    return path


def _done(asked: dict[str, Any]) -> dict[str, Any]:
    """A task whose pre-annotation somebody submitted; a second a region, and two."""
    drawn = asked["predictions"][0]["result"]
    return asked | {"annotations": [{"id": 1, "result": drawn, "lead_time": 2.0 + len(drawn)}]}


def like(dataset: Dataset) -> Like:
    """The ids of a data set's classes and images."""
    return Like(
        dict(zip(dataset.class_names, dataset.header.category_ids, strict=True)),
        dict(zip(dataset.file_names.tolist(), dataset.image_ids.tolist(), strict=True)),
    )
