"""Which image gets which annotation: a seeded, nested assignment, and the files that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_FILES: Final = (
    "manifest.csv",
    *(f"{stem}_{kind}.json" for stem in ("coco", "label_studio") for kind in AnnotationType),
)
_CHUNK: Final = 100_000


@dataclass(frozen=True)
class ImageList:
    """The images of a project, in a fixed order.

    Attributes:
        source: what they were read from.
        count: how many.
        names: file names; None for a bare count.
        records: COCO image records; None where there are none.
        categories: COCO categories, for the lists.
    """

    source: str
    count: int
    names: Sequence[str] | None = None
    records: Sequence[Mapping[str, Any]] | None = None
    categories: Sequence[Mapping[str, Any]] = ()


def read_images(text: str) -> ImageList:
    """The images named by a count, a folder of pictures, or a COCO-format file.

    Raises:
        InputError: if it is none of them, or holds no image.
    """
    if text.strip().replace("_", "").replace(",", "").isdigit():
        return _counted(int(text.replace("_", "").replace(",", "")))
    if not text.strip():
        raise InputError("--images", "is empty", "give a count, a folder or a COCO-format file")
    path = Path(text)
    if path.is_dir():
        return _listed(path)
    if path.is_file():
        return _from_coco(path)
    raise InputError("--images", f"{text!r} is no count, folder or file", "check the path")


def _counted(count: int) -> ImageList:
    if count < 1:
        raise InputError("--images", "0 images", "give at least one")
    return ImageList(source="a bare count", count=count)


def _listed(folder: Path) -> ImageList:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    names = sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())
    if not names:
        raise InputError("--images", f"no pictures in {folder}", "check the folder")
    return ImageList(source=str(folder), count=len(names), names=names)


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
    categories = data.get("categories")
    return ImageList(
        source=str(path),
        count=len(records),
        names=[record["file_name"] for record in records],
        records=records,
        categories=categories if isinstance(categories, list) else (),
    )


def assign(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Strength of every image's annotation type: (N,) int8 from images per type (5,).

    A seeded permutation of the images is filled from the strongest type down, so that the masks of
    a plan stay masks in any plan of the same images and seed that has more of them.
    """
    key = hashlib.sha256(f"manifest:{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(key, "big")).permutation(int(images.sum()))
    strengths = np.repeat(np.arange(len(images) - 1, -1, -1, dtype=np.int8), images[::-1])
    assigned = np.empty(len(order), dtype=np.int8)
    assigned[order] = strengths
    return assigned


def write_manifest(
    folder: Path, images: ImageList, assigned: np.ndarray, image_prefix: str = ""
) -> list[Path]:
    """Write the assignment: one CSV, COCO image lists and Label Studio tasks of each type used.

    An earlier manifest in the folder is replaced; other files there are left alone. A bare count
    has row numbers for names, and no Label Studio tasks, which need pictures.

    Args:
        folder: where; made if it does not exist.
        images: what the rows stand for.
        assigned: (N,) strengths, from `assign`.
        image_prefix: URL or path put before file names in Label Studio tasks.

    Returns:
        The files written.

    Raises:
        InputError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        written = [_write_csv(folder / "manifest.csv", images, assigned)]
        for kind in AnnotationType:
            rows = np.flatnonzero(assigned == kind.strength)
            if len(rows):
                written.append(_write_coco(folder / f"coco_{kind}.json", images, rows))
                if images.names is not None and kind is not AnnotationType.NONE:
                    path = folder / f"label_studio_{kind}.json"
                    written.append(_write_tasks(path, images.names, rows, kind, image_prefix))
    except OSError as error:
        raise InputError(
            folder, f"cannot be written ({error.strerror})", "choose another"
        ) from None
    return written


def _write_csv(path: Path, images: ImageList, assigned: np.ndarray) -> Path:
    import pandas as pd

    kinds = pd.Categorical.from_codes(assigned, categories=[str(k) for k in AnnotationType])
    columns: dict[str, Any] = {}
    if images.records is not None:
        columns["image_id"] = [record["id"] for record in images.records]
    if images.names is None:
        columns["row"] = np.arange(len(assigned))
    else:
        columns["file_name"] = images.names
    columns["annotation_type"] = kinds
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def _write_coco(path: Path, images: ImageList, rows: np.ndarray) -> Path:
    """The images of one type as a COCO file without annotations, ready to be filled."""
    head = json.dumps({"categories": list(images.categories)})[1:-1]
    _write_list(
        path, '{"annotations": [], ' + head + ', "images": [\n', _records(images, rows), "]}"
    )
    return path


def _records(images: ImageList, rows: np.ndarray) -> Iterator[str]:
    if images.records is not None:
        return (json.dumps(images.records[row]) for row in rows.tolist())
    if images.names is not None:
        names = images.names
        return (f'{{"id": {r}, "file_name": {json.dumps(names[r])}}}' for r in rows.tolist())
    return (f'{{"id": {row}}}' for row in rows.tolist())


def _write_tasks(
    path: Path, names: Sequence[str], rows: np.ndarray, kind: AnnotationType, prefix: str
) -> Path:
    """Label Studio's import format: a list of tasks, each with the data of one image."""
    tail = f', "annotation_type": "{kind}"}}}}'
    tasks = (f'{{"data": {{"image": {json.dumps(prefix + names[r])}{tail}' for r in rows.tolist())
    _write_list(path, "[\n", tasks, "]")
    return path


def _write_list(path: Path, head: str, items: Iterator[str], tail: str) -> None:
    """A JSON list written in pieces, so that a million images never stand in memory as text."""
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        first = True
        while piece := [item for _, item in zip(range(_CHUNK), items, strict=False)]:
            file.write(("" if first else ",\n") + ",\n".join(piece))
            first = False
        file.write(f"\n{tail}\n")
