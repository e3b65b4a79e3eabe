"""One picture of a tiny world, with its exact labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.layout import Placement, arrange
from omnicost.data.tiny.paint import Brush, background, covers, finish, scrap
from omnicost.data.tiny.raster import Draws
from omnicost.data.tiny.shapes import KINDS, SELF
from omnicost.data.tiny.specs import SPECS, WorldSpec

__all__ = ["SPECS", "Scene", "WorldSpec", "render"]

FEWEST_PIXELS = 10  # of a label or segment: what shows less is left alone


class Scene(NamedTuple):
    """A picture and its labels.

    Attributes:
        image: (64, 64, 3) uint8.
        class_indices: (N,) int64 into the spec's class names.
        masks: (N, 64, 64) bool, visible labelled extents: what an annotator would draw.
        segments: (S, 64, 64) bool, parts, wholes and groups without class; none outside tiny-web.
    """

    image: NDArray[np.uint8]
    class_indices: NDArray[np.int64]
    masks: NDArray[np.bool_]
    segments: NDArray[np.bool_]


class _Painted(NamedTuple):
    """What shows where: the part on top of each pixel, and whose parts they are.

    Attributes:
        top: (size, size) int, 0 for the background, else 1 + the part's row below.
        objects: (parts,) which object a part belongs to.
        labels: per object, the class name each of its parts counts to, or None.
    """

    top: NDArray[np.int64]
    objects: list[int]
    labels: list[str | None]


def render(spec: WorldSpec, split: str, index: int) -> Scene:
    """Draw picture `index` of a split: the same bytes every time, on every machine."""
    draws = Draws(derive_seed("tiny world", spec.name, spec.version, split, index))
    style = spec.styles[draws.integer(0, len(spec.styles) - 1)]
    placements = arrange(spec, draws)
    canvas = background(style, spec.size, draws)
    hues = tuple(KINDS[name].hue for name in spec.class_names)
    scraps = draws.integer(*style.clutter)
    for _ in range(scraps):
        scrap(canvas, style, hues, draws)
    brushes = [Brush(placement, style, draws) for placement in placements]
    painted = _paint(canvas, placements, brushes)
    image = finish(canvas, style, draws)
    names, masks = _labels(spec, placements, painted, draws)
    empty = np.zeros((0, spec.size, spec.size), bool)
    segments = _segments(placements, painted, masks) if spec.segments else []
    return Scene(
        image,
        np.array([spec.class_names.index(name) for name in names], np.int64),
        np.stack(masks) if masks else empty,
        np.stack(segments) if segments else empty,
    )


def _paint(
    canvas: NDArray[np.int32], placements: list[Placement], brushes: list[Brush]
) -> _Painted:
    top = np.zeros(canvas.shape[:2], np.int64)
    objects: list[int] = []
    labels: list[str | None] = []
    for number, (placement, brush) in enumerate(zip(placements, brushes, strict=True)):
        parts = KINDS[placement.name].parts
        for part, area in zip(parts, covers(placement, canvas.shape[0]), strict=True):
            objects.append(number)
            labels.append(placement.name if part.label == SELF else part.label)
            if area is not None:
                brush.part(canvas, area, part.tone)
                top[area.rows, area.columns][area.depth >= 0] = len(objects)
    return _Painted(top, objects, labels)


def _select(painted: _Painted, chosen: list[bool]) -> NDArray[np.bool_]:
    """Pixels whose top part is chosen."""
    return np.array([False, *chosen])[painted.top]


def _labels(
    spec: WorldSpec, placements: list[Placement], painted: _Painted, draws: Draws
) -> tuple[list[str], list[NDArray[np.bool_]]]:
    """Instances an annotator would draw: each object's own, and the others that it carries."""
    names, masks = [], []
    for number in range(len(placements)):
        rows = [row for row, owner in enumerate(painted.objects) if owner == number]
        for name in dict.fromkeys(painted.labels[row] for row in rows):
            if name not in spec.class_names:
                continue
            mask = _select(
                painted,
                [
                    owner == number and label == name
                    for owner, label in zip(painted.objects, painted.labels, strict=True)
                ],
            )
            shown = _misname(spec, name, draws)
            if np.count_nonzero(mask) >= FEWEST_PIXELS:
                names.append(shown)
                masks.append(mask)
    return names, masks


def _misname(spec: WorldSpec, name: str, draws: Draws) -> str:
    """Now and then, the class whose hue is nearest instead."""
    if not draws.chance(spec.misnaming):
        return name
    others = [other for other in spec.class_names if other != name]
    return min(others, key=lambda other: abs(KINDS[other].hue - KINDS[name].hue))


def _segments(
    placements: list[Placement], painted: _Painted, masks: list[NDArray[np.bool_]]
) -> list[NDArray[np.bool_]]:
    """Distinct parts, wholes, labelled extents and groups of a class that show enough."""
    owners = painted.objects
    parts = [_select(painted, [row == part for row in range(len(owners))]) for part in range(len(owners))]
    wholes = [_select(painted, [o == number for o in owners]) for number in range(len(placements))]
    groups = [
        _select(painted, [placements[o].name == name for o in owners])
        for name in dict.fromkeys(placement.name for placement in placements)
    ]
    distinct: dict[bytes, NDArray[np.bool_]] = {}
    for segment in [*masks, *wholes, *groups, *parts]:
        if np.count_nonzero(segment) >= FEWEST_PIXELS:
            distinct.setdefault(np.packbits(segment).tobytes(), segment)
    return list(distinct.values())
