"""What any tool's export amounts to: images by name, what is drawn in each, what is not read.

Coordinates are pixels of the picture, `x y`, or shares of its sides until `scaled`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType

Decode = Callable[[int, int], dict[str, Any]]  # height, width -> compressed RLE; or ValueError
Groups = dict[tuple[Hashable, str], int]  # group and class to the place of what is drawn


@dataclass(frozen=True)
class DrawnLabel:
    """One thing that an annotator drew, or a tag: exactly one of the shapes, or none.

    Attributes:
        class_name: what it is.
        point: x y.
        box: x0 y0 x1 y1.
        polygons: outlines, each x y x y ...
        mask: pixels, as compressed COCO RLE once the picture's size is known.
        number: its id in the export, where that is a number.
    """

    class_name: str
    point: tuple[float, ...] | None = None
    box: tuple[float, ...] | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    mask: Decode | None = None
    number: int | None = None

    @property
    def annotation(self) -> AnnotationType:
        """What it draws."""
        if self.polygons is not None or self.mask is not None:
            return AnnotationType.MASK
        if self.box is not None:
            return AnnotationType.BOX
        return AnnotationType.CLASS if self.point is None else AnnotationType.POINT

    def scaled(self, width: float, height: float) -> DrawnLabel:
        """The same with shares of the sides turned into pixels, to a ten-thousandth of one."""

        def scale(numbers: tuple[float, ...]) -> tuple[float, ...]:
            sides = (width, height)
            return tuple(round(number * sides[n % 2], 4) for n, number in enumerate(numbers))

        return replace(
            self,
            point=None if self.point is None else scale(self.point),
            box=None if self.box is None else scale(self.box),
            polygons=None if self.polygons is None else tuple(map(scale, self.polygons)),
        )

    def is_finite(self) -> bool:
        """Whether every coordinate is a finite number."""
        numbers = [*(self.point or ()), *(self.box or ())]
        numbers += [number for polygon in self.polygons or () for number in polygon]
        return bool(np.isfinite(numbers).all())


@dataclass(frozen=True)
class Labelled:
    """One image as the export has it.

    Attributes:
        name: of its picture: a file name, a path or an address.
        drawn: what is in it.
        size: height and width of the picture that was labelled, where the export says.
        declared: the annotation type that was asked for, where it says.
        relative: coordinates are shares of the sides.
        seen: an annotator was done with it, be it without drawing anything.
    """

    name: str
    drawn: tuple[DrawnLabel, ...] = ()
    size: tuple[int, int] | None = None
    declared: AnnotationType | None = None
    relative: bool = False
    seen: bool = True


class Skipped(NamedTuple):
    """A record that was not taken over, or not as it is."""

    reason: str  # such as "rotated box, drawn around"
    item: str  # such as "task 4, region a1b2"


@dataclass
class Export:
    """An export that was read.

    Attributes:
        form: which tool's.
        images: in the order of the export.
        skipped: what was left out or changed.
        class_names: in the tool's order, where it says; else as they are met.
    """

    form: str
    images: list[Labelled] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)

    def skip(self, reason: str, item: str) -> None:
        """Put on record what is left out or changed."""
        self.skipped.append(Skipped(reason, item))


def add_drawn(
    drawn: list[DrawnLabel], groups: Groups, found: DrawnLabel, group: Hashable | None
) -> None:
    """Add a shape; polygons of one group and class are one instance in several parts."""
    if group is None or found.polygons is None:
        drawn.append(found)
        return
    place = groups.setdefault((group, found.class_name), len(drawn))
    if place == len(drawn):
        drawn.append(found)
    else:
        parts = (*(drawn[place].polygons or ()), *found.polygons)
        drawn[place] = replace(drawn[place], polygons=parts)


def around(corners: np.ndarray) -> tuple[float, ...]:
    """The upright box ``x0 y0 x1 y1`` around ``(N, 2)`` corners."""
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def turned_box(x: float, y: float, width: float, height: float, degrees: float) -> np.ndarray:
    """``(4, 2)`` corners of a box turned clockwise around its corner ``x y``."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    return corners @ turn + np.array([x, y])
