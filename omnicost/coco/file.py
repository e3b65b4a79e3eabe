"""A COCO-format file as validated columns."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.coco.decode import (
    CHUNK,
    Drawings,
    Sections,
    decode_annotations,
    decode_sections,
    forget,
    load_json,
)
from omnicost.coco.faults import Faults, shown
from omnicost.coco.given import POINT, drawn_types, given_labels
from omnicost.coco.records import NOUNS, Records
from omnicost.coco.sections import (
    Rows,
    SectionColumns,
    annotation_columns,
    class_columns,
    image_columns,
    note_unused,
)
from omnicost.coco.statistics import CocoStatistics, count
from omnicost.errors import InputError

# Columns of `CocoFile` that go with its images, and those that annotations are read into.
_OF_IMAGES: Final = ("image_ids", "image_sizes", "said")
_READ: Final = ("annotation_ids", "areas", "boxes", "points", "is_crowd")


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A validated COCO-format file: I images, A annotations, K categories, in file order.

    Categories of one name are one class, that of the first. Of a set with given labels only the
    annotations that count are here (`omnicost.coco.given`).

    Attributes:
        path: the file.
        image_ids: (I,) int64.
        image_sizes: (I, 2) int64, height and width; 0 where the file gives none.
        file_names: (I,) text; empty where the file gives none.
        category_ids: (K,) int64, as in the file; class indices are positions in it.
        category_names: (K,) text.
        annotation_ids: (A,) int64.
        image_indices: (A,) int64, positions in `image_ids`.
        class_indices: (A,) int64, positions in `category_ids`.
        areas: (A,) float64, pixels; NaN where the file gives none.
        boxes: (A, 4) float64, x y width height in pixels; NaN where the file gives none.
        points: (A, 2) float64, x y in pixels; NaN where the file gives none.
        is_crowd: (A,) bool.
        drawn: (A,) int8, strength of what each annotation draws.
        said: (I,) int8, strength of the type that each image declares, else `given.UNSAID`.
        types: (I,) int8, strength of each image's annotation type; None unless labels are given.
        segmentations: text or data of the polygons or RLE of each annotation
            (`decode.segmentation_of`), None where there is none; an empty tuple if they were not
            asked for.
        info: the file's `info`.
    """

    path: Path
    image_ids: np.ndarray
    image_sizes: np.ndarray
    file_names: Sequence[str]
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    annotation_ids: np.ndarray
    image_indices: np.ndarray
    class_indices: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    is_crowd: np.ndarray
    drawn: np.ndarray
    said: np.ndarray
    types: np.ndarray | None
    segmentations: Sequence[Any]
    info: Any

    def statistics(self) -> CocoStatistics:
        """K, c and n with their spread over images."""
        kept = ~self.is_crowd
        counted = np.ones(len(self.image_ids), bool)
        if self.types is not None:
            counted = self.types >= POINT
        return count(
            len(self.category_ids), self.image_indices[kept], self.class_indices[kept], counted
        )

    def of_images(self, chosen: np.ndarray) -> CocoFile:
        """The file with the images that an ``(I,) bool`` says, and their annotations."""
        if chosen.all():
            return self
        rows, images = chosen[self.image_indices], np.flatnonzero(chosen)
        taken = {name: getattr(self, name)[images] for name in _OF_IMAGES}
        taken |= {name: getattr(self, name)[rows] for name in (*_READ, "class_indices", "drawn")}
        return replace(
            self,
            **taken,
            file_names=[self.file_names[n] for n in images.tolist()],
            image_indices=(np.cumsum(chosen) - 1)[self.image_indices[rows]],
            types=None if self.types is None else self.types[images],
            segmentations=_chosen(self.segmentations, rows),
        )


def read_coco(
    path: Path | str, segmentations: bool = True, faults: Faults | None = None
) -> CocoFile:
    """Read and check a COCO-format file.

    Args:
        path: a JSON file with `images`, `annotations` and `categories`.
        segmentations: keep the segmentations; without them a large file takes less memory.
        faults: where faults go; by default the first is raised. Faulty records are left out.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    faults = faults or Faults(path)
    sections = decode_sections(path)
    if sections is not None:
        columns = _decoded_columns(sections, faults, segmentations)
        if columns is not None:
            return _assembled(faults, sections.images, columns, sections.categories, sections.info)
        faults.found.clear()
    return parse_coco(load_json(path), path, segmentations, faults)


def parse_coco(
    data: Any,
    path: Path | str = "COCO data",
    segmentations: bool = True,
    faults: Faults | None = None,
) -> CocoFile:
    """Check COCO-format data that is already loaded; `path` names it in messages.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    faults = faults or Faults(path)
    if not isinstance(data, dict):
        form = type(data).__name__
        raise InputError(path, f"holds a {form}, not an object", "give a COCO-format file")
    for name in NOUNS:
        if name not in data:
            raise InputError(path, f"{name} is missing", "give a COCO-format instances file")
    annotations = _records(faults, "annotations", data["annotations"])
    columns = annotation_columns(annotations, segmentations)
    return _assembled(faults, data["images"], columns, data["categories"], data.get("info"))


def _records(faults: Faults, section: str, content: Any) -> Records:
    """A section, which may be empty if it is annotations; what is no object has no fields."""
    if not isinstance(content, list):
        form = type(content).__name__
        raise InputError(faults.path, f"{section} is a {form}", "make it a list of objects")
    noun = NOUNS[section]
    if not content and section != "annotations":
        raise InputError(faults.path, f"{section} is empty", f"list at least one {noun}")
    for position, record in enumerate(content):
        if not isinstance(record, dict):
            where, problem = f"{section}[{position}]", f"is {shown(record)}"
            faults.add(f"{noun} without id", where, where, problem, "make it an object")
    objects = [record if isinstance(record, dict) else {} for record in content]
    return Records(faults, section, objects)


def _decoded_columns(
    sections: Sections, faults: Faults, segmentations: bool
) -> SectionColumns | None:
    """The columns of annotations, decoded some at a time; None if one is not as it should be."""
    chunks, raws = [], sections.annotations
    for start in range(0, max(len(raws), 1), CHUNK):
        decoded = decode_annotations(raws[start : start + CHUNK])
        if decoded is None:
            return None
        raws[start : start + CHUNK] = [None] * len(decoded)
        records = Records(faults, "annotations", decoded, start, getattr)
        chunks.append(annotation_columns(records, segmentations))
        forget(sections.content)
    drawings: Sequence[Any] = [each for chunk in chunks for each in chunk.pop("segmentations")]
    joined = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}
    if isinstance(sections.content, mmap.mmap) and drawings:
        drawings = Drawings(drawings, sections.content)
    return joined | {"segmentations": drawings}


def _assembled(
    faults: Faults, images: Any, columns: SectionColumns, categories: Any, info: Any
) -> CocoFile:
    pictures = image_columns(_records(faults, "images", images))
    classes = class_columns(_records(faults, "categories", categories))
    rows = Rows(faults, columns)
    rows.unique()
    image_indices = rows.references("images", pictures["image_ids"], "image_id", "unknown image")
    classes_of = rows.references("categories", classes["ids"], "category_id", "unknown category")
    drawn = drawn_types(columns["has_mask"], columns["boxes"], columns["points"])
    sound = rows.sound
    given = given_labels(
        pictures["said"], image_indices[sound], drawn[sound], columns["is_crowd"][sound]
    )
    if given is not None:
        rows.leave_out(np.flatnonzero(sound)[~given.kept])
        sound = rows.sound
    note_unused(faults, classes, classes["class_of"][classes_of[sound]])
    return CocoFile(
        path=Path(str(faults.path)),
        **{name: pictures[name] for name in _OF_IMAGES},
        **{name: columns[name][sound] for name in _READ},
        file_names=pictures["file_names"],
        category_ids=classes["ids"][classes["first"]],
        category_names=tuple(classes["names"]),
        image_indices=image_indices[sound],
        class_indices=classes["class_of"][classes_of[sound]],
        drawn=drawn[sound],
        types=None if given is None else given.types,
        segmentations=_chosen(columns["segmentations"], sound),
        info=info,
    )


def _chosen(drawings: Sequence[Any], rows: np.ndarray) -> Sequence[Any]:
    """Those of the rows that an ``(A,) bool`` says; none where they were not asked for."""
    if isinstance(drawings, Drawings):
        return drawings if rows.all() else drawings.take(rows)
    return tuple(compress(drawings, rows.tolist()))
