"""Which tool's export a file or a folder is, and what it holds."""

from __future__ import annotations

from pathlib import Path

from omnicost.coco import load_json
from omnicost.data.imports.coco import read_coco_export
from omnicost.data.imports.cvat import read_cvat
from omnicost.data.imports.export import Export
from omnicost.data.imports.label_studio import read_label_studio
from omnicost.data.imports.labelme import read_labelme
from omnicost.data.imports.yolo import NAMES, read_yolo
from omnicost.errors import InputError, MissingError
from omnicost.labelling.annotators import Annotators

KNOWN = (
    "give Label Studio's JSON, CVAT's annotations.xml, a COCO file or a folder of Roboflow's, "
    "a YOLO folder with data.yaml, or LabelMe's JSON files"
)


def read_export(path: Path, annotators: Annotators = Annotators.LAST) -> Export:
    """The labels of a labelling tool's export.

    Args:
        path: a file, or the folder that an export unpacks to.
        annotators: whose labels count where several people labelled an image.

    Raises:
        MissingError: if there is nothing.
        InputError: if it is no export that is known, or cannot be read.
    """
    if not path.exists():
        raise MissingError(path, "no such file or folder", "give an export")
    if path.is_dir():
        return _read_folder(path)
    ending = path.suffix.lower()
    if ending == ".xml":
        return read_cvat(path)
    if ending == ".zip":
        raise InputError(path, "is packed", "unpack it and name the folder")
    content = load_json(path)
    if isinstance(content, list):
        return read_label_studio(content, annotators)
    keys = set(content) if isinstance(content, dict) else set()
    del content  # the others read their files themselves, COCO's in pieces
    if "shapes" in keys:
        return read_labelme([path])
    if "images" in keys:
        return read_coco_export([path])
    raise InputError(path, "is no export that is known", KNOWN)


def _read_folder(path: Path) -> Export:
    for pattern in ("_annotations.coco.json", "*/_annotations.coco.json"):
        if found := sorted(path.glob(pattern)):
            return read_coco_export(found)
    if (path / "annotations.xml").is_file():
        return read_cvat(path / "annotations.xml")
    for pattern in ("annotations/instances_*.json", "instances*.json"):
        if found := sorted(path.glob(pattern)):
            return read_coco_export(found)
    if any((path / name).is_file() for name in NAMES):
        return read_yolo(path)
    if found := sorted(path.rglob("*.json")):
        return read_labelme(found)
    raise InputError(path, "holds no export that is known", KNOWN)
