"""One picture of a tiny world, with its exact labels."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.designs import DESIGNS, packed, wears
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
from omnicost.data.tiny.specs import SPECS, WorldSpec

__all__ = ["SPECS", "Scene", "WorldSpec", "render"]

NAMES = tuple(DESIGNS)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
FEWEST_PIXELS = 10  # of a label or segment: what shows less is left alone


class Scene(NamedTuple):
    """A picture and its labels.

    Attributes:
        image: (64, 64, 3) uint8.
        class_indices: (N,) int64 into the spec's class names.
        masks: (N, 64, 64) bool, visible labelled extents: what an annotator would draw.
        segments: (S, 64, 64) bool, what is labelled or left out of a label, wholes and groups.
        parts: (P, 64, 64) bool, single parts that are none of the segments.

    Only tiny-things has segments and parts.
    """

    image: NDArray[np.uint8]
    class_indices: NDArray[np.int64]
    masks: NDArray[np.bool_]
    segments: NDArray[np.bool_]
    parts: NDArray[np.bool_]


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
    hues = tuple(DESIGNS[name].hue for name in spec.class_names)
    scraps = [
        draw_scrap(style, hues, spec.size, draws) for _ in range(draws.integer(*style.clutter))
    ]
    brushes = [draw_brush(style, draws) for _ in placements]
    shapes = [(each.shape, each.pose) for each in scraps]
    shapes += [(packed(placement.name), pose(placement)) for placement in placements]
    areas = covers(shapes, spec.size)
    strokes = mix(scraps, placements, brushes, style, spec)
    painted = _stack(areas, len(scraps), placements, spec.size)
    image = finish(paint(canvas, areas, strokes, style), style, draws)
    names, masks = _instances(spec, painted)
    shown = [_misname(spec, name, draws) for name in names]
    nothing = masks[:0], masks[:0]
    return Scene(
        image,
        np.array([spec.class_names.index(name) for name in shown], np.int64),
        masks,
        *(_segments(placements, painted) if spec.segments else nothing),
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
    parts = DESIGNS[name].parts
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
    return min(others, key=lambda other: abs(DESIGNS[other].hue - DESIGNS[name].hue))


def _segments(
    placements: list[Placement], painted: _Painted
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Distinct stretches of a label (or of none) in a thing, wholes, groups; and other parts."""
    of_thing = np.array([*(NUMBERS[placement.name] for placement in placements), -1])
    wholes, groups = painted.owners, of_thing[painted.owners]
    stretches = np.where(wholes < 0, -1, wholes * (len(NAMES) + 1) + painted.labels + 1)
    single = np.arange(-1, len(wholes) - 1)
    numbers = (stretches, wholes, groups, single)
    piles = [_pile(each[painted.top])[1] for each in numbers]
    segments = np.concatenate(piles)
    packed = np.packbits(segments.reshape(-1, painted.top.size), axis=1)
    firsts = {row.tobytes(): number for number, row in reversed(list(enumerate(packed)))}
    distinct = np.array(sorted(firsts.values()), np.int64)
    is_part = distinct >= len(segments) - len(piles[-1])
    return segments[distinct[~is_part]], segments[distinct[is_part]]
