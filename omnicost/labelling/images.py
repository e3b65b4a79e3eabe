"""The images of a project: a count, a folder of pictures, or a COCO-format file."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from omnicost.errors import InputError, short
from omnicost.files import read_bytes, require_regular

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_TURNED: Final = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True)
class ImageList:
    """The images of a project, in a fixed order.

    Attributes:
        source: what they were read from.
        count: how many.
        names: file names; None for a bare count.
        records: COCO image records; None where there are none.
        categories: COCO categories, for the lists.
        folder: where the names are; None if they were not found on disk.
        unreadable: names of pictures in the folder that are no files: pipes, devices, links that
            lead nowhere.
    """

    source: str
    count: int
    names: Sequence[str] | None = None
    records: Sequence[Mapping[str, Any]] | None = None
    categories: Sequence[Mapping[str, Any]] = ()
    folder: Path | None = None
    unreadable: Sequence[str] = ()

    @property
    def class_names(self) -> list[str]:
        """The names of the categories in file order, each once."""
        named = (category.get("name") for category in self.categories)
        return list(dict.fromkeys(name for name in named if isinstance(name, str) and name))

    def image_id(self, row: int) -> int:
        """The image's own id, or its place counted from 1."""
        return row + 1 if self.records is None else int(self.records[row]["id"])

    def record(self, row: int) -> Mapping[str, Any]:
        """One image as a COCO record: the user's own, or what is known of it."""
        if self.records is not None:
            return self.records[row]
        known: dict[str, Any] = {"id": row + 1}
        if self.names is not None:
            known["file_name"] = self.names[row]
            if self.folder is not None and (size := picture_size(self.folder / self.names[row])):
                known["height"], known["width"] = size
        return known

    def with_categories(self, categories: Sequence[Mapping[str, Any]]) -> ImageList:
        """The same images with these categories where they have none of their own."""
        return self if self.categories else replace(self, categories=tuple(categories))

    def places(self, file_names: Iterable[str], path: Path) -> dict[str, int]:
        """Place of every image by its name; InputError if `path` names one that is not here."""
        known = {name: place for place, name in enumerate(self.names or ())}
        unknown = [name for name in file_names if name not in known]
        if unknown:
            text = f"{len(unknown):,} images are not in {self.source}, such as {unknown[0]!r}"
            raise InputError(path, text, "list all images of the project with `images`")
        return known


def read_table(path: Path, column: str, remedy: str) -> list[dict[str, str]]:
    """Rows of a CSV file about images; InputError if it cannot be read or lacks the column."""
    try:
        table = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""))
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"is no table ({error})", remedy) from None
    if not rows or column not in rows[0]:
        raise InputError(path, f"has no column {column}", remedy)
    if twice := repeated(table.fieldnames or ()):
        raise InputError(path, f"has two columns {short(twice)}", "keep one of them")
    return rows


def repeated(names: Iterable[str]) -> str | None:
    """The first name that stands there twice."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Height and width in pixels as a viewer shows it, from the header; None if it has none."""
    from PIL import Image

    try:
        require_regular(path)
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_ORIENTATION) in _TURNED
    except (InputError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


def read_images(text: str) -> ImageList:
    """The images named by a count, a folder of pictures, or a COCO-format file.

    Raises:
        InputError: if it is none of them, holds no image, or may be a count or a folder.
    """
    digits = text.strip().replace("_", "").replace(",", "")
    if digits.isdecimal():
        if os.path.isdir(text):  # where Path.is_dir raises for names over long
            remedy = f"write ./{text} for the folder, or 0{text} for the count"
            raise InputError("`images`", f"{text} is a count, and a folder here", remedy)
        return _counted(text, digits.lstrip("0"))
    if not text.strip():
        raise InputError("`images`", "is empty", "give a count, a folder or a COCO-format file")
    path = Path(text)
    if path.is_dir():
        names, unreadable = picture_names(path)
        if not names:
            raise InputError("`images`", f"no pictures in {path}", "check the folder")
        return ImageList(str(path), len(names), names, folder=path, unreadable=unreadable)
    if path.is_file():
        return _from_coco(path)
    raise InputError("`images`", f"{text!r} is no count, folder or file", "check the path")


_MOST_IMAGES: Final = 10**9


def _counted(text: str, digits: str) -> ImageList:
    if not digits:
        raise InputError("`images`", "0 images", "give at least one")
    if len(digits) > len(str(_MOST_IMAGES)) or int(digits) > _MOST_IMAGES:
        problem = f"{text.strip()[:40]} images"
        raise InputError("`images`", problem, f"give at most {_MOST_IMAGES:,}")
    return ImageList(source="a bare count", count=int(digits))


def picture_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the pictures of a folder and of those inside it: files, and what is none."""
    names: list[str] = []
    unreadable: list[str] = []
    for path in folder.rglob("*"):
        if path.suffix.lower() not in PICTURES:
            continue
        if path.is_file():
            names.append(path.relative_to(folder).as_posix())
        elif not path.is_dir():
            unreadable.append(path.relative_to(folder).as_posix())
    return sorted(names), sorted(unreadable)


def _from_coco(path: Path) -> ImageList:
    from omnicost.coco import load_json

    data = load_json(path)
    records = data.get("images") if isinstance(data, dict) else None
    if not isinstance(records, list) or not records:
        raise InputError(path, "has no list of images", "give a COCO-format file")
    for index, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
            raise InputError(f"{path}: images[{index}]", "has no file_name", "add it")
        if isinstance(record.get("id"), bool) or not isinstance(record.get("id"), int):
            raise InputError(f"{path}: images[{index}].id", f"is {record.get('id')!r}", "number it")
    if len({record["id"] for record in records}) < len(records):
        raise InputError(f"{path}: images", "ids repeat", "give every image its own id")
    return ImageList(
        source=str(path),
        count=len(records),
        names=[record["file_name"] for record in records],
        records=records,
        categories=_categories(data),
    )


def _categories(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    listed = data.get("categories")
    return tuple(one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def read_categories(path: Path | str) -> tuple[Mapping[str, Any], ...]:
    """The categories of a COCO-format file; empty where it has none."""
    from omnicost.coco import load_json

    data = load_json(path)
    return _categories(data) if isinstance(data, dict) else ()
