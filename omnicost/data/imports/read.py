"""Which tool's export a file or a folder is, and what it holds."""

from __future__ import annotations

from enum import StrEnum
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


class Form(StrEnum):
    """A tool's export."""

    LABEL_STUDIO = "label-studio"
    CVAT = "cvat"
    COCO = "coco"
    YOLO = "yolo"
    LABELME = "labelme"


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
    form, files = _recognised(path)
    if form is Form.LABEL_STUDIO:
        return read_label_studio(load_json(files[0]), annotators)
    if form is Form.CVAT:
        return read_cvat(files[0])
    if form is Form.COCO:
        return read_coco_export(files)
    return read_yolo(path) if form is Form.YOLO else read_labelme(files)


def _recognised(path: Path) -> tuple[Form, list[Path]]:
    if path.is_dir():
        return _folder(path)
    ending = path.suffix.lower()
    if ending == ".xml":
        return Form.CVAT, [path]
    if ending == ".zip":
        raise InputError(path, "is packed", "unpack it and name the folder")
    form = _json_form(load_json(path))
    if form is None:
        raise InputError(path, "is no export that is known", KNOWN)
    return form, [path]


def _json_form(content: object) -> Form | None:
    if isinstance(content, list):
        return Form.LABEL_STUDIO
    if isinstance(content, dict) and "shapes" in content:
        return Form.LABELME
    return Form.COCO if isinstance(content, dict) and "images" in content else None


def _folder(path: Path) -> tuple[Form, list[Path]]:
    for pattern in ("_annotations.coco.json", "*/_annotations.coco.json"):
        if found := sorted(path.glob(pattern)):
            return Form.COCO, found
    if (path / "annotations.xml").is_file():
        return Form.CVAT, [path / "annotations.xml"]
    for pattern in ("annotations/instances_*.json", "instances*.json"):
        if found := sorted(path.glob(pattern)):
            return Form.COCO, found
    if any((path / name).is_file() for name in NAMES):
        return Form.YOLO, []
    if found := sorted(path.rglob("*.json")):
        return Form.LABELME, found
    raise InputError(path, "holds no export that is known", KNOWN)
