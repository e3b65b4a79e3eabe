"""What lies in a folder: which published layout, where its pictures and annotations are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.data.columns import Columns, Header
from omnicost.data.readers.coco_reader import read_coco_columns
from omnicost.data.readers.label_maps import MAP_FORMATS, Pair, read_label_maps
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError, MissingError
from omnicost.files import file_digest
from omnicost.progress import Progress, silent

HOLD_OUT: Final = 5  # of a set in one file, a fifth of the images (by their ids) is for validation
ADE20K_FOLDERS: Final = {"train": "training", "val": "validation"}
EXPECTED: Final = (
    "put there annotations/instances_train2017.json and train2017/ (COCO), instances.json and "
    "images/ (your own), train/_annotations.coco.json (Roboflow), ADEChallengeData2016/ (ADE20K), "
    "or gtFine/ and leftImg8bit/ (Cityscapes)"
)


class NoSuchSplit(MissingError):
    """The folder holds no data set of a known layout with that split."""


class Source(NamedTuple):
    """One split of a data set on disk, found but not read."""

    name: str
    split: str
    layout: str  # coco, ade20k or cityscapes
    picture_folder: Path
    annotations: Path  # a COCO-format file, or the folder of the instance maps
    part: str = "all"  # all, train or val: of a set in one file, which images
    pairs: tuple[Pair, ...] = ()  # pictures and their maps, where annotations are maps

    def key(self) -> str:
        """SHA-256 of what conversion reads."""
        digest = _maps_digest(self.pairs) if self.pairs else file_digest(self.annotations)
        return hashlib.sha256(json.dumps([self.layout, self.part, digest]).encode()).hexdigest()

    def read(self, progress: Progress = silent) -> tuple[Header, Columns]:
        """Convert it; `progress` is told of annotations or maps.

        Raises:
            InputError: for the first fault.
        """
        if self.pairs:
            return read_label_maps(MAP_FORMATS[self.layout], self.pairs, progress)
        header, columns = read_coco_columns(self.annotations, progress)
        return header, in_part(columns, self.part)


def find(path: Path, split: str) -> Source:
    """The split of the data set in a folder, or of one COCO-format file.

    Raises:
        MissingError: if nothing known is there; the remedy says what to put where.
        InputError: if there is no such split.
    """
    if path.is_file():
        return _of_file(path, split, path.stem)
    if not path.is_dir():
        raise MissingError(path, "no such folder or file", "give the unpacked data set's folder")
    for look in (_published_coco, _roboflow, _ade20k, _cityscapes, _single_file):
        found = look(path, split)
        if found is not None:
            return found
    raise NoSuchSplit(path, f"holds no known data set with a split {split!r}", EXPECTED)


def splits_in(path: Path) -> tuple[str, ...]:
    """The splits there are: `all` of a set in one file, else those of train and val.

    Raises:
        MissingError: if there is none, or half of one.
    """
    if path.is_file() or _single_file(path, "all"):
        return ("all",)
    found = tuple(split for split in ("train", "val") if _holds(path, split))
    return found or (find(path, "train").split,)


def _holds(path: Path, split: str) -> bool:
    try:
        find(path, split)
    except NoSuchSplit:
        return False
    return True


def _published_coco(path: Path, split: str) -> Source | None:
    for name in (f"{split}2017", split):
        annotations = path / "annotations" / f"instances_{name}.json"
        if annotations.is_file():
            places = (path / name, path / "images" / name)
            pictures = next((place for place in places if place.is_dir()), places[0])
            _require(pictures, f"put the pictures of {annotations.name} there")
            return Source(path.resolve().name, split, "coco", pictures, annotations)
    return None


def _roboflow(path: Path, split: str) -> Source | None:
    """Roboflow's COCO export: a folder a split, annotations beside the pictures."""
    folder = path / {"val": "valid"}.get(split, split)
    annotations = folder / "_annotations.coco.json"
    if not annotations.is_file():
        return None
    return Source(path.resolve().name, split, "coco", folder, annotations)


def _single_file(path: Path, split: str) -> Source | None:
    annotations = path / "instances.json"
    return _of_file(annotations, split, path.resolve().name) if annotations.is_file() else None


def _of_file(annotations: Path, split: str, name: str) -> Source:
    """A set in one file, with its pictures beside it."""
    if split not in ("all", "train", "val"):
        remedy = "use all, train or val (a fifth of the images, by their ids)"
        raise InputError(annotations, f"has no split {split!r}", remedy)
    images = annotations.parent / "images"
    pictures = images if images.is_dir() else annotations.parent
    return Source(name, split, "coco", pictures, annotations, part=split)


def in_part(columns: Columns, part: str) -> Columns:
    """The images of a part: an image stays in its part whatever images join the set.

    Of a set with given labels only images with masks validate: nothing else can be scored on.
    """
    if part == "all":
        return columns
    ids = columns.image_ids.tolist()
    validation = np.array([derive_seed("hold out", each) % HOLD_OUT == 0 for each in ids], bool)
    if columns.given is not None:
        validation &= np.asarray(columns.given) == AnnotationType.MASK.strength
    return columns.take(np.flatnonzero(validation if part == "val" else ~validation))


def _ade20k(path: Path, split: str) -> Source | None:
    base = path / "ADEChallengeData2016"
    base = base if base.is_dir() else path
    folder = ADE20K_FOLDERS.get(split, split)
    pictures, maps = base / "images" / folder, base / "annotations_instance" / folder
    known = (base / "annotations_instance", base / "objectInfo150.txt", pictures)
    if not any(place.exists() for place in known) or (base / "instances.json").exists():
        return None
    _require(maps, "unpack annotations_instance.tar of the ADE20K places challenge 2017 there")
    _require(pictures, "unpack ADEChallengeData2016.zip there")
    found = _sorted(maps, "*.png")
    pairs = sorted(Pair(_trailing_number(each), f"{each.stem}.jpg", each) for each in found)
    return Source("ade20k", split, "ade20k", pictures, maps, pairs=tuple(pairs))


def _trailing_number(path: Path) -> int:
    """The id of a picture such as ADE_val_00000123."""
    digits = path.stem.rpartition("_")[2]
    if not digits.isdigit():
        raise InputError(path, "has no number in its name", "keep ADE20K's names, ADE_val_00000123")
    return int(digits)


def _cityscapes(path: Path, split: str) -> Source | None:
    ending = "_gtFine_instanceIds.png"
    if not any((path / name).is_dir() for name in ("gtFine", "leftImg8bit")):
        return None
    maps, pictures = path / "gtFine" / split, path / "leftImg8bit" / split
    _require(maps, "unpack gtFine_trainvaltest.zip there")
    _require(pictures, "unpack leftImg8bit_trainvaltest.zip there")
    pairs = tuple(
        Pair(n, f"{each.parent.name}/{each.name.removesuffix(ending)}_leftImg8bit.png", each)
        for n, each in enumerate(_sorted(maps, f"*/*{ending}"), start=1)
    )
    return Source("cityscapes", split, "cityscapes", pictures, maps, pairs=pairs)


def _sorted(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise MissingError(folder / pattern, "no such file", "unpack the instance maps there")
    return found


def _require(folder: Path, remedy: str) -> None:
    if not folder.is_dir():
        raise MissingError(folder, "no such folder", remedy)


def _maps_digest(pairs: Sequence[Pair]) -> str:
    """SHA-256 of names, sizes and modification times: reading 20,000 maps takes minutes."""
    sha = hashlib.sha256()
    for pair in pairs:
        found = os.stat(pair.label_map)
        sha.update(f"{pair.label_map.name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return sha.hexdigest()
