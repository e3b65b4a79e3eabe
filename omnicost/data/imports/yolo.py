"""YOLO detection and segmentation: a text file a picture, a line an instance, shares of the sides.

Source: https://docs.ultralytics.com/datasets/detect/ and /segment/: `class cx cy width height`, or
`class x1 y1 x2 y2 ...`. Of /pose/, where data.yaml has `kpt_shape`, the
box that stands before the keypoints is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from omnicost.data.imports.export import DrawnLabel, Export, Labelled
from omnicost.errors import InputError
from omnicost.files import read_bytes
from omnicost.plain_yaml import parse_yaml

NAMES: Final = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt")
_LONGEST_LINE: Final = 100_000


def read_yolo(folder: Path) -> Export:
    """The images of a folder of label files.

    Raises:
        InputError: if no file names the classes.
    """
    names, is_pose = _described(folder)
    export = Export("yolo", class_names=names)
    for path in sorted(label_files(folder)):
        name = path.relative_to(folder).as_posix()
        drawn = tuple(_lines(export, path, name, is_pose))
        stem = path.relative_to(folder).with_suffix("").as_posix()
        export.images.append(Labelled(stem, drawn, relative=True))
    return export


def label_files(folder: Path) -> Iterator[Path]:
    """The label files: all texts in folders named labels, or all that name no classes."""
    texts = [path for path in folder.rglob("*.txt") if path.is_file()]
    inside = [path for path in texts if "labels" in path.relative_to(folder).parts[:-1]]
    listed = {"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "README.txt"}
    return (path for path in inside or texts if path.name not in listed)


def _described(folder: Path) -> tuple[list[str], bool]:
    """The classes, by their number, and whether lines have keypoints.

    Raises:
        InputError: if no file names them, or it cannot be read.
    """
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        remedy = f"put one of {', '.join(NAMES)} there"
        raise InputError(folder, "no file names the classes", remedy)
    try:
        text = read_bytes(path).decode()
        if path.suffix != ".yaml":
            return [line.strip() for line in text.splitlines() if line.strip()], False
        content = parse_yaml(text, path, "write a list of names")
    except UnicodeDecodeError as error:
        reason = " ".join(str(error).split())
        raise InputError(path, f"cannot be read ({reason})", "write a list of names") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise InputError(f"{path}: names", "is no list of names", "write names: [cat, dog]")
    return names, "kpt_shape" in content


def _lines(export: Export, path: Path, name: str, is_pose: bool) -> Iterator[DrawnLabel]:
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError:
        export.skip("label file that is no text", name)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        drawn, item = _instance(export.class_names, line, is_pose), f"{name}, line {number}"
        if isinstance(drawn, str):
            export.skip(drawn, item)
        else:
            if is_pose:
                export.skip("keypoints, only their box taken", item)
            yield drawn


def _instance(names: list[str], line: str, is_pose: bool) -> DrawnLabel | str:
    """An instance, or why it is none."""
    if len(line) > _LONGEST_LINE:
        return "line that is too long"
    try:
        class_index, *numbers = [float(each) for each in line.split()]
        known = class_index.is_integer() and 0 <= class_index < len(names)
        label = names[int(class_index)] if known else None
    except ValueError:
        return "line that is not numbers"
    if label is None:
        return "class number without a name"
    if len(numbers) in (4, 5) or (is_pose and len(numbers) > 5):  # the fifth is a confidence
        x, y, width, height = numbers[:4]
        return DrawnLabel(label, box=(x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        return DrawnLabel(label, polygons=(tuple(numbers),))
    return "line of neither a box nor an outline"
