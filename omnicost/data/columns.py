"""A data set as flat columns: saved as .npy files, opened as memory maps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omnicost.errors import InputError
from omnicost.files import write_folder

COLUMNS_VERSION = 1  # raise it when what the files hold changes: old caches are then left alone


class SizeBounds(NamedTuple):
    """Mask areas in pixels that part small from medium and medium from large instances."""

    small: float = 32.0**2
    medium: float = 96.0**2


class Header(NamedTuple):
    """What is one per data set rather than one per image or instance."""

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    size_bounds: SizeBounds


class Columns(NamedTuple):
    """I images in order of id, A annotations in order of (image, annotation id).

    Image i has the annotations ``first_annotation[i]:first_annotation[i + 1]``; annotation a has
    the compressed COCO RLE ``rle_bytes[rle_offsets[a]:rle_offsets[a + 1]]``.

    The last two are there for sets with given labels only. Their annotations hold what the type of
    their image needs: a mask; a box, with an empty mask; a point, which is also the box; a class
    alone, with a box of zeros.
    """

    image_ids: np.ndarray  # (I,) int64
    file_names: np.ndarray  # (I,) str, relative to the picture folder
    sizes: np.ndarray  # (I, 2) int32, height and width
    first_annotation: np.ndarray  # (I + 1,) int64
    annotation_ids: np.ndarray  # (A,) int64
    class_indices: np.ndarray  # (A,) int64
    boxes: np.ndarray  # (A, 4) float32, x0 y0 x1 y1
    areas: np.ndarray  # (A,) float64
    is_crowd: np.ndarray  # (A,) bool
    rle_offsets: np.ndarray  # (A + 1,) int64
    rle_bytes: np.ndarray  # (B,) uint8
    given: np.ndarray | None = None  # (I,) int8, strength of each image's annotation type
    points: np.ndarray | None = None  # (A, 2) float32, x y; NaN but in images with points

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns that there are, by name."""
        return {name: array for name, array in self._asdict().items() if array is not None}

    def image_of_annotation(self) -> np.ndarray:
        """``(A,) int64`` index of each annotation's image."""
        return np.repeat(np.arange(len(self.image_ids)), np.diff(self.first_annotation))

    def rle(self, row: int, size: list[int]) -> dict[str, Any]:
        """An annotation's compressed COCO RLE; `size` is its picture's, height and width."""
        start, end = self.rle_offsets[row : row + 2].tolist()
        return {"size": size, "counts": self.rle_bytes[start:end].tobytes()}

    def take(self, indices: np.ndarray) -> Columns:
        """The columns of some images, which keep the order of their ids.

        Args:
            indices: ``(J,)`` image indices, ascending.
        """
        counts = np.diff(self.first_annotation)[indices]
        rows = ranges(self.first_annotation[indices], counts)
        lengths = np.diff(self.rle_offsets)[rows]
        return Columns(
            image_ids=self.image_ids[indices],
            file_names=self.file_names[indices],
            sizes=self.sizes[indices],
            first_annotation=offsets(counts),
            annotation_ids=self.annotation_ids[rows],
            class_indices=self.class_indices[rows],
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            is_crowd=self.is_crowd[rows],
            rle_offsets=offsets(lengths),
            rle_bytes=self.rle_bytes[ranges(self.rle_offsets[rows], lengths)],
            given=None if self.given is None else self.given[indices],
            points=None if self.points is None else self.points[rows],
        )


def offsets(lengths: np.ndarray) -> np.ndarray:
    """``(N + 1,)`` int64 starts of consecutive pieces of those ``(N,)`` lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The concatenation of ``start, start + 1, ...`` for each start, ``count`` numbers each."""
    total = int(counts.sum())
    shift = np.repeat(np.asarray(starts) - offsets(counts)[:-1], counts)
    return np.arange(total, dtype=np.int64) + shift


def digest(header: Header, columns: Columns) -> str:
    """SHA-256 of the header and of every column: values, shapes and types."""
    sha = hashlib.sha256(json.dumps([COLUMNS_VERSION, header]).encode())
    for name, array in columns.arrays().items():
        # The width of a string column depends on its longest name only, so it is hashed as text.
        values = "\0".join(array).encode() if name == "file_names" else np.ascontiguousarray(array)
        sha.update(f"{name} {array.shape} {array.dtype.kind}".encode())
        sha.update(values)  # type: ignore[arg-type]
    return sha.hexdigest()


def save(folder: Path, header: Header, columns: Columns) -> None:
    """Write a data set's columns into a folder that appears whole or not at all."""

    def write(scratch: Path) -> None:
        for name, array in columns.arrays().items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)
        described = {**header._asdict(), "digest": digest(header, columns)}
        (scratch / "header.json").write_text(json.dumps(described))

    write_folder(folder, write)


def load(folder: Path) -> tuple[Header, Columns, str]:
    """Open saved columns as read-only memory maps; the third part is their `digest`.

    Raises:
        InputError: if they are damaged.
    """
    try:
        described = json.loads((folder / "header.json").read_text())
        header = Header(
            tuple(described["class_names"]),
            tuple(described["category_ids"]),
            SizeBounds(*described["size_bounds"]),
        )
        optional = Columns._field_defaults
        arrays = {
            # A plain array over the map: indexing np.memmap costs several times as much.
            name: np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            for name in Columns._fields
            if (path := folder / f"{name}.npy").exists() or name not in optional
        }
        return header, Columns(**arrays), described["digest"]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(folder, f"damaged cache ({fault})", "delete that folder") from None
