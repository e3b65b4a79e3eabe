"""One picture of a tiny world, with its exact labels."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.layout import Placement, arrange
from omnicost.data.tiny.paint import (
    background,
    draw_brush,
    draw_scrap,
    finish,
    mix,
    paint,
    pose,
)
from omnicost.data.tiny.raster import Covers, Draws, covers
from omnicost.data.tiny.shapes import KINDS, packed, wears
from omnicost.data.tiny.specs import SPECS, WorldSpec

__all__ = ["SPECS", "Scene", "WorldSpec", "render"]

NAMES = tuple(KINDS)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
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
    """What shows where.

    Attributes:
        top: (size, size), number of the part on top of each pixel; 0 for the background.
        owners: (P + 1,), which object part p is of; -1 for the background.
        labels: (P + 1,), which of `NAMES` part p is labelled as; -1 for none.
    """

    top: NDArray[np.int64]
    owners: NDArray[np.int64]
    labels: NDArray[np.int64]


def render(spec: WorldSpec, split: str, index: int) -> Scene:
    """Draw picture `index` of a split: the same bytes every time, on every machine."""
    draws = Draws(derive_seed("tiny world", spec.name, spec.version, split, index))
    style = spec.styles[draws.integer(0, len(spec.styles) - 1)]
    placements = arrange(spec, draws)
    canvas = background(style, spec.size, draws)
    hues = tuple(KINDS[name].hue for name in spec.class_names)
    scraps = [
        draw_scrap(style, hues, spec.size, draws) for _ in range(draws.integer(*style.clutter))
    ]
    brushes = [draw_brush(style, draws) for _ in placements]
    shapes = [(each.shape, each.pose) for each in scraps]
    shapes += [(packed(placement.name), pose(placement)) for placement in placements]
    areas = covers(shapes, spec.size)
    strokes = mix(scraps, placements, brushes, style, spec.size)
    painted = _stack(areas, len(scraps), placements, spec.size)
    image = finish(paint(canvas, areas, strokes, style), style, draws)
    names, masks = _instances(spec, painted)
    shown = [_misname(spec, name, draws) for name in names]
    return Scene(
        image,
        np.array([spec.class_names.index(name) for name in shown], np.int64),
        masks,
        _segments(placements, painted, masks) if spec.segments else masks[:0],
    )


def _stack(areas: Covers, scraps: int, placements: list[Placement], size: int) -> _Painted:
    """What shows where, given that the first of the areas are scraps and the rest parts."""
    top = np.zeros(size * size, np.int64)
    inside = (areas.depth >= 0) & (areas.polygons >= scraps)
    top[areas.spots[inside]] = areas.polygons[inside] - scraps + 1  # the last, highest one stays
    labels = [_labels(placement.name) for placement in placements]
    owners = np.arange(len(labels)).repeat([len(each) for each in labels])
    none = np.array([-1])
    return _Painted(
        top.reshape(size, size),
        np.concatenate([none, owners]),
        np.concatenate([none, *labels]),
    )


@cache
def _labels(name: str) -> NDArray[np.int64]:
    """Which of `NAMES` the parts of a thing are labelled as; -1 for none."""
    parts = KINDS[name].parts
    return np.array([-1 if part.label is None else NUMBERS[wears(name, part)] for part in parts])


def _pile(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One mask for each number >= 0 that shows enough; (M,) and (M, size, size)."""
    counts = np.bincount(numbers.ravel() + 1)[1:]
    present = np.flatnonzero(counts >= FEWEST_PIXELS)
    few = np.int16  # numbers are small, and comparing small ones is four times as fast
    return present, numbers.astype(few) == present.astype(few)[:, None, None]


def _instances(spec: WorldSpec, painted: _Painted) -> tuple[list[str], NDArray[np.bool_]]:
    """What annotators draw: an object's own labelled extent, and others' that it carries."""
    asked = _asked(spec.class_names)[painted.labels]
    pairs = np.where(asked, painted.owners * len(NAMES) + painted.labels, -1)
    present, masks = _pile(pairs[painted.top])
    return [NAMES[pair % len(NAMES)] for pair in present.tolist()], masks


@cache
def _asked(class_names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which of `NAMES` are among these; at -1, after the last: no."""
    return np.array([*(name in class_names for name in NAMES), False])


def _misname(spec: WorldSpec, name: str, draws: Draws) -> str:
    """Now and then, the class whose hue is nearest instead."""
    if not draws.chance(spec.misnaming):
        return name
    others = [other for other in spec.class_names if other != name]
    return min(others, key=lambda other: abs(KINDS[other].hue - KINDS[name].hue))


def _segments(
    placements: list[Placement], painted: _Painted, masks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Distinct labelled extents, wholes, groups of a class, and parts that show enough."""
    kinds = np.array([*(NUMBERS[placement.name] for placement in placements), -1])
    parts = np.arange(-1, len(painted.owners) - 1)
    wholes, groups = painted.owners, kinds[painted.owners]
    piles = [masks, *(_pile(numbers[painted.top])[1] for numbers in (wholes, groups, parts))]
    segments = np.concatenate(piles)
    packed = np.packbits(segments.reshape(len(segments), -1), axis=1)
    distinct = {row.tobytes(): number for number, row in reversed(list(enumerate(packed)))}
    return segments[sorted(distinct.values())]
