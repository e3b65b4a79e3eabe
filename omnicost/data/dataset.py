"""`Dataset`: pictures and ground truth of one split, read lazily from columns."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.coco import CocoStatistics, count
from omnicost.cost import DatasetStats, stats_of_counts
from omnicost.data import columns as columns_module
from omnicost.data.coco_json import ground_truth
from omnicost.data.columns import Columns, Header, SizeBounds
from omnicost.data.images import read_image
from omnicost.errors import InputError


class Instances(NamedTuple):
    """Ground truth of one image: N instances in order of annotation id."""

    annotation_ids: np.ndarray  # (N,) int64
    class_indices: np.ndarray  # (N,) int64
    boxes: np.ndarray  # (N, 4) float32, x0 y0 x1 y1
    areas: np.ndarray  # (N,) float64, as the file gives them
    is_crowd: np.ndarray  # (N,) bool
    rles: tuple[dict[str, Any], ...]  # compressed COCO RLE: size [height, width], counts bytes
    size: tuple[int, int]  # height, width of the image

    def masks(self) -> np.ndarray:
        """The masks as ``(N, H, W) bool``."""
        if not self.rles:
            return np.zeros((0, *self.size), bool)
        return np.moveaxis(mask_api.decode(list(self.rles)), 2, 0).astype(bool)


class Dataset:
    """One split of a data set; cheap to open, to pickle and to share between workers.

    Build one with `omnicost.data.open_dataset`. Images are in order of their ids.
    """

    def __init__(
        self,
        name: str,
        split: str,
        header: Header,
        columns: Columns,
        picture_folder: Path,
        cached_in: Path | None = None,
        columns_digest: str | None = None,
    ) -> None:
        self.name = name
        self.split = split
        self.header = header
        self.columns = columns
        self.picture_folder = picture_folder
        self.cached_in = cached_in
        if columns_digest is not None:
            self.columns_digest = columns_digest

    def __repr__(self) -> str:
        return f"<Dataset {self.name} {self.split}: {len(self)} images>"

    def __len__(self) -> int:
        return len(self.columns.image_ids)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K classes' names, by class index."""
        return self.header.class_names

    @cached_property
    def category_ids(self) -> np.ndarray:
        """``(K,) int64``: the file's id of each class."""
        return np.asarray(self.header.category_ids, np.int64)

    @property
    def size_bounds(self) -> SizeBounds:
        """Areas that part small, medium and large instances."""
        return self.header.size_bounds

    @property
    def given(self) -> np.ndarray | None:
        """``(I,) int8`` annotation types of a set with given labels; None of one with masks."""
        return self.columns.given

    def type_of(self, index: int) -> AnnotationType:
        """The type of an image's labels; a mask unless labels were given."""
        if self.given is None:
            return AnnotationType.MASK
        return tuple(AnnotationType)[int(self.given[index])]

    def types(self) -> dict[str, int] | None:
        """How many images each annotation type has; None of a set with masks throughout."""
        if self.given is None:
            return None
        counts = np.bincount(self.given, minlength=len(AnnotationType)).tolist()
        named = zip(AnnotationType, counts, strict=True)
        return {str(each): images for each, images in named if images}

    @property
    def image_ids(self) -> np.ndarray:
        """``(I,) int64``, ascending."""
        return self.columns.image_ids

    @property
    def file_names(self) -> np.ndarray:
        """``(I,) str``: the pictures, relative to the picture folder."""
        return self.columns.file_names

    @property
    def sizes(self) -> np.ndarray:
        """``(I, 2) int32``: height and width of the pictures."""
        return self.columns.sizes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that can change a stage's output.

        Covers annotations (ids, classes, boxes, areas, crowd flags, masks), class names and
        category ids, size bounds, and the pictures' ids, names, pixel sizes and bytes on disk.
        A picture overwritten by one of the same number of bytes goes unnoticed: reading every
        picture would take longer than some stages. Name, split and place on disk do not count.
        """
        sha = hashlib.sha256(self.columns_digest.encode())
        sha.update(self._picture_bytes().tobytes())
        return sha.hexdigest()

    @cached_property
    def columns_digest(self) -> str:
        """SHA-256 of header and columns, without the pictures on disk."""
        return columns_module.digest(self.header, self.columns)

    def path(self, index: int) -> Path:
        """Where the picture of an image is."""
        return self.picture_folder / str(self.file_names[index])

    def image(self, index: int) -> np.ndarray:
        """The picture as ``(H, W, 3) uint8`` RGB, EXIF orientation applied.

        Raises:
            InputError: if it is missing, damaged or not of the size in the annotations.
        """
        height, width = self.sizes[index].tolist()
        return read_image(self.path(index), (height, width), int(self.image_ids[index]))

    def instances(self, index: int, crowds: bool = False) -> Instances:
        """Ground truth of an image; crowd regions only on request."""
        first, end = self.columns.first_annotation[index : index + 2].tolist()
        rows = np.arange(first, end)
        if not crowds:
            rows = rows[~self.columns.is_crowd[first:end]]
        height, width = self.sizes[index].tolist()
        return Instances(
            annotation_ids=self.columns.annotation_ids[rows],
            class_indices=self.columns.class_indices[rows],
            boxes=self.columns.boxes[rows],
            areas=self.columns.areas[rows],
            is_crowd=self.columns.is_crowd[rows],
            rles=tuple(self.columns.rle(row, [height, width]) for row in rows.tolist()),
            size=(height, width),
        )

    def index_of(self, image_id: int) -> int:
        """The index of the image of that id.

        Raises:
            InputError: if there is none.
        """
        index = int(np.searchsorted(self.image_ids, image_id))
        if index == len(self) or self.image_ids[index] != image_id:
            raise InputError(f"{self.name} {self.split}", f"no image id {image_id}", "check the id")
        return index

    def take(self, indices: np.ndarray) -> Dataset:
        """Some of the images, in memory, as a data set with a fingerprint of its own."""
        chosen = self.columns.take(np.unique(np.asarray(indices, np.int64)))
        return Dataset(self.name, self.split, self.header, chosen, self.picture_folder)

    def stats(self) -> DatasetStats:
        """Images, K, c and n for the planner: crowds left out, empty images counted."""
        return stats_of_counts(self.statistics(), self.name, f"{self.name} {self.split}")

    def statistics(self) -> CocoStatistics:
        """K, c and n with their spread over images.

        Raises:
            InputError: if there is no image.
        """
        if not len(self):
            raise InputError(f"{self.name} {self.split}", "has no image", "give it pictures")
        columns, kept = self.columns, ~self.columns.is_crowd
        counted = np.ones(len(self), bool)
        if columns.given is not None:
            counted = np.asarray(columns.given) >= AnnotationType.POINT.strength
        owners = columns.image_of_annotation()
        return count(len(self.class_names), owners[kept], columns.class_indices[kept], counted)

    def to_coco(self) -> dict[str, Any]:
        """The ground truth as COCO json data, with compressed RLE masks and the file's ids."""
        return ground_truth(self.name, self.header, self.columns)

    def _picture_bytes(self) -> np.ndarray:
        """``(I,) int64`` size of each picture's file, -1 where it is missing."""
        folder = str(self.picture_folder)
        sizes = [_file_bytes(os.path.join(folder, name)) for name in self.file_names]
        return np.array(sizes, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key != "category_ids"}
        if self.cached_in is not None:
            del state["columns"]  # the worker maps the same files: nothing is copied
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.cached_in is not None:
            _, self.columns, _ = columns_module.load(self.cached_in)


def _file_bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
