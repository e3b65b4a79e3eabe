"""What lies in a folder: which published layout, where its pictures and annotations are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omnicost.data.coco_reader import Progress, read_coco_columns
from omnicost.data.columns import Columns, Header
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError, MissingError

HOLD_OUT = 5  # of a set with one file, every fifth image (by a hash of its id) is for validation


class Source(NamedTuple):
    """One split of a data set on disk, found but not read."""

    name: str
    split: str
    layout: str
    picture_folder: Path
    annotations: Path
    key: Callable[[], str]  # SHA-256 of what conversion reads
    read: Callable[[Progress], tuple[Header, Columns]]


def find(path: Path, split: str) -> Source:
    """The split of the data set in a folder, or of one COCO-format file.

    Raises:
        MissingError: if nothing known is there; the remedy says what to put where.
    """
    if path.is_file():
        return _coco(path, split, _pictures_beside(path), hold_out=True)
    if not path.is_dir():
        raise MissingError(path, "no such folder or file", "give the unpacked data set's folder")
    for look in (_published_coco, _single_file):
        found = look(path, split)
        if found is not None:
            return found
    raise MissingError(
        path,
        f"holds no known data set with a split {split!r}",
        f"expected annotations/instances_{split}2017.json with {split}2017/ (COCO), "
        f"annotations/instances_{split}.json with {split}/, instances.json with images/, "
        "an unpacked ADEChallengeData2016, or gtFine/ with leftImg8bit/ (Cityscapes)",
    )


def _published_coco(path: Path, split: str) -> Source | None:
    for name in (f"{split}2017", split):
        annotations = path / "annotations" / f"instances_{name}.json"
        if annotations.is_file():
            pictures = path / name if (path / name).is_dir() else path / "images" / name
            if not pictures.is_dir():
                pictures = _required(path / name, annotations)
            return _coco(annotations, split, pictures, hold_out=False, name=path.resolve().name)
    return None


def _single_file(path: Path, split: str) -> Source | None:
    annotations = path / "instances.json"
    if not annotations.is_file():
        return None
    name = path.resolve().name
    return _coco(annotations, split, _pictures_beside(annotations), hold_out=True, name=name)


def _pictures_beside(annotations: Path) -> Path:
    images = annotations.parent / "images"
    return images if images.is_dir() else annotations.parent


def _required(folder: Path, annotations: Path) -> Path:
    if not folder.is_dir():
        raise MissingError(
            folder, "no such folder", f"put the pictures of {annotations.name} there"
        )
    return folder


def _coco(
    annotations: Path, split: str, pictures: Path, hold_out: bool, name: str | None = None
) -> Source:
    if hold_out and split not in ("all", "train", "val"):
        raise InputError(
            annotations, f"has no split {split!r}", "use all, train or val (a fifth, by image id)"
        )
    parts = split if hold_out else "all"

    def read(progress: Progress) -> tuple[Header, Columns]:
        header, columns = read_coco_columns(annotations, progress)
        return header, columns if parts == "all" else columns.take(_part(columns, parts))

    return Source(
        name=name or annotations.stem,
        split=split,
        layout="coco",
        picture_folder=pictures,
        annotations=annotations,
        key=lambda: _key("coco", parts, file_digest(annotations)),
        read=read,
    )


def _part(columns: Columns, part: str) -> np.ndarray:
    ids = columns.image_ids.tolist()
    held_out = np.array([derive_seed("hold out", each) % HOLD_OUT == 0 for each in ids], bool)
    return np.flatnonzero(held_out if part == "val" else ~held_out)


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(paths: list[Path]) -> str:
    """SHA-256 of names, sizes and modification times: reading 20,000 label maps takes minutes."""
    sha = hashlib.sha256()
    for path in paths:
        found = os.stat(path)
        sha.update(f"{path.name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return sha.hexdigest()
