"""Painting: backgrounds, clutter and objects, on an integer canvas."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.tiny.designs import DESIGNS, wears
from omnicost.data.tiny.layout import HORIZON_PERCENT, Placement
from omnicost.data.tiny.parts import TONES
from omnicost.data.tiny.raster import (
    PIXEL,
    Covers,
    Draws,
    Ints,
    Polygons,
    Pose,
    blend,
    hsv_to_rgb,
    opacity,
    pack,
    spread,
)
from omnicost.data.tiny.specs import Style, WorldSpec

Canvas = NDArray[np.int32]  # (3, size, size), levels of red, green and blue
Levels = NDArray[np.int32]  # (size, size)
SCRAPS = tuple(
    pack([outline])
    for outline in (
        [(-50, -50), (50, -50), (50, 50), (-50, 50)],
        [(-50, 40), (0, -50), (50, 40)],
        [(-50, -12), (50, -12), (50, 12), (-50, 12)],
        [(-50, 0), (-25, -43), (25, -43), (50, 0), (25, 43), (-25, 43)],
    )
)


def background(style: Style, size: int, draws: Draws) -> Canvas:
    """The empty scene."""
    tint = hsv_to_rgb(draws.integer(0, 359), draws.integer(*style.tint), 100)
    grey = draws.integer(*style.grey) * 255 // 100
    levels = GROUNDS[style.ground](size, grey, draws)
    levels = levels + spread(draws.integers(-22, 22, 7, 7), size)
    return np.multiply.outer(tint, levels) // 255


def _fog(size: int, grey: int, draws: Draws) -> Levels:
    return spread(draws.integers(-34, 34, 4, 4), size) + grey


def _room(size: int, grey: int, draws: Draws) -> Levels:
    """Wall, skirting and a darker or lighter floor."""
    levels = np.full((size, size), grey, np.int32)
    edge = draws.integer(size * 45 // 100, size * 75 // 100)
    levels[edge:] += draws.integer(14, 44) * (1 if draws.chance(50) else -1)
    levels[edge : edge + 1] -= 30
    corner = draws.integer(0, size - 1)
    levels[:edge, :corner] += draws.integer(-16, 16)
    return levels


def _street(size: int, grey: int, draws: Draws) -> Levels:
    """Sky, a row of houses, and a road that lightens towards the horizon."""
    horizon = size * HORIZON_PERCENT // 100
    levels = np.empty((size, size), np.int32)
    levels[:horizon] = grey + 60 - np.arange(horizon, dtype=np.int32)[:, None]
    for x in range(0, size, size // 8):
        top = draws.integer(horizon // 6, horizon - 2)
        levels[top:horizon, x : x + size // 8] = grey + draws.integer(-30, 20)
    road = np.arange(size - horizon, dtype=np.int32)[:, None]
    levels[horizon:] = grey + 14 - road * 2 // 3
    return levels


def _slope(size: int, grey: int, draws: Draws) -> Levels:
    """A plain gradient in a random direction."""
    steps = np.arange(size, dtype=np.int32) - size // 2
    across, down = draws.integer(-2, 2), draws.integer(-2, 2)
    return grey + (steps * across)[None, :] + (steps * down)[:, None]


def _checks(size: int, grey: int, draws: Draws) -> Levels:
    """Two greys in squares."""
    cell = np.arange(size, dtype=np.int32) // draws.integer(4, 14)
    odd = (cell[:, None] + cell[None, :]) % 2
    return grey + (2 * odd - 1) * draws.integer(6, 20)


def _bands(size: int, grey: int, draws: Draws) -> Levels:
    """Upright, level or slanting bands."""
    steps = np.arange(size, dtype=np.int32)
    slant = draws.integer(0, 2)
    along = steps[None, :] * (slant != 0) + steps[:, None] * (slant != 1)
    odd = along // draws.integer(4, 12) % 2
    return grey + (2 * odd - 1) * draws.integer(6, 20)


GROUNDS: dict[str, Callable[[int, int, Draws], Levels]] = {
    "fog": _fog,
    "room": _room,
    "street": _street,
    "slope": _slope,
    "checks": _checks,
    "bands": _bands,
}


class Scrap(NamedTuple):
    """A piece of clutter; its colour as hue in degrees, saturation and value in percent."""

    shape: Polygons
    pose: Pose
    colour: tuple[int, int, int]


def draw_scrap(style: Style, hues: tuple[int, ...], size: int, draws: Draws) -> Scrap:
    """A piece of clutter: grey, or, as a decoy, in one of the hues."""
    centre = (draws.integer(0, size * PIXEL), draws.integer(0, size * PIXEL))
    sides = (draws.integer(3 * PIXEL, 15 * PIXEL), draws.integer(3 * PIXEL, 15 * PIXEL))
    shape = SCRAPS[draws.integer(0, len(SCRAPS) - 1)]
    pose = Pose(centre, sides, draws.integer(0, 255), False)
    if draws.chance(style.decoys):
        hue = hues[draws.integer(0, len(hues) - 1)]
        return Scrap(shape, pose, (hue, draws.integer(35, 65), draws.integer(45, 80)))
    colour = draws.integer(0, 359), draws.integer(*style.tint), draws.integer(18, 85)
    return Scrap(shape, pose, colour)


class Brush(NamedTuple):
    """How one object differs from others of its kind.

    Attributes:
        turn: of its hue, in degrees.
        saturation, value: percent of its class'.
        stripe: width of its stripes, if the style has any, in pixels.
    """

    turn: int
    saturation: int
    value: int
    stripe: int


def draw_brush(style: Style, draws: Draws) -> Brush:
    """A manner of painting an object, within the limits of a style."""
    limits = style.hue_turn, style.saturation, style.value, (2, 4)
    return Brush(*(draws.integer(*each) for each in limits))


def pose(placement: Placement) -> Pose:
    """How the parts of an object stand on the picture."""
    design = DESIGNS[placement.name]
    sides = (placement.side * design.width // 100, placement.side * design.height // 100)
    return Pose(placement.centre, sides, placement.turn, placement.mirrored)


class Strokes(NamedTuple):
    """How P polygons are painted.

    Attributes:
        colours: (3, P) int32, levels of red, green and blue.
        owners: (P,), which object each is of; -1 for clutter.
        lights: (2, O + 1, size) int32, brightness of each object by column and by row, to be added;
            256 is plain, as the last is, for clutter.
    """

    colours: NDArray[np.int32]
    owners: Ints
    lights: NDArray[np.int32]


def mix(
    scraps: list[Scrap],
    placements: list[Placement],
    brushes: list[Brush],
    style: Style,
    spec: WorldSpec,
) -> Strokes:
    """Colours and lights of clutter and, after it, of the parts of the objects."""
    tints = [_tints(placement.name, spec.alike) for placement in placements]
    owners = np.arange(len(tints)).repeat([len(tint) for tint in tints])
    turn, saturation, value = np.array([brush[:3] for brush in brushes])[owners].T
    hues, saturations, values = np.concatenate(tints).T
    objects = hues + turn, saturations * saturation // 10_000, values * value // 10_000
    clutter = np.array([scrap.colour for scrap in scraps], np.int64).reshape(-1, 3).T
    return Strokes(
        hsv_to_rgb(*np.concatenate([clutter, objects], axis=1)),
        np.concatenate([np.full(len(scraps), -1), owners]),
        _lights(placements, brushes, style, spec.size),
    )


@cache
def _tints(name: str, alike: tuple[tuple[str, str], ...]) -> Ints:
    """Hue in degrees, saturation and value in 10,000ths of a class' parts, (P, 3)."""
    rows = []
    for part in DESIGNS[name].parts:
        worn = wears(name, part)
        design, (saturation, value, turn) = DESIGNS[dict(alike).get(worn, worn)], TONES[part.tone]
        rows.append((design.hue + turn, design.saturation * saturation, design.value * value))
    return np.array(rows, np.int64)


def _lights(
    placements: list[Placement], brushes: list[Brush], style: Style, size: int
) -> NDArray[np.int32]:
    """Brightness of each object by column and by row, then of none: see `Strokes`."""
    steps = np.arange(size, dtype=np.int32)
    centres = np.array([placement.centre for placement in placements], np.int32).T[:, :, None]
    scales = np.array([max(placement.side, PIXEL) for placement in placements], np.int32)
    slopes = np.array(style.light, np.int32)[:, None, None] * 48
    lights = np.zeros((2, len(placements) + 1, size), np.int32)
    lights[:, :-1] = (steps * PIXEL - centres) * slopes // scales[:, None]
    lights[1] += 256
    if style.stripes:
        widths = np.array([brush.stripe for brush in brushes])[:, None]
        lights[1, :-1] += (steps // widths % 2 * 2 - 1) * (style.stripes * 256 // 100)
    return lights


def paint(canvas: Canvas, areas: Covers, strokes: Strokes, style: Style) -> Canvas:
    """Paint polygons one over the other: at all pixels at once, layer by layer."""
    order, bounds = _layers(areas.spots)
    areas = Covers(areas.spots[order], areas.polygons[order], areas.depth[order])
    owners = strokes.owners[areas.polygons]
    shaded = (owners >= 0).astype(np.int32)
    plain = strokes.colours.take(areas.polygons, axis=1)
    colours = plain * _shade(areas, owners, strokes.lights, style.rim) >> 8
    inset = PIXEL * 3 // 4 if style.outline else 0
    alphas = opacity(areas.depth - shaded * inset)
    rims = plain * 45 // 100, opacity(areas.depth) * shaded
    painted = canvas.reshape(3, -1).copy()
    for layer in (slice(*ends) for ends in pairwise(bounds)):
        under = painted.take(areas.spots[layer], axis=1)
        if style.outline:  # beneath each part, a darker one that shows at the edge
            under = blend(under, rims[0][:, layer], rims[1][layer])
        painted[:, areas.spots[layer]] = blend(under, colours[:, layer], alphas[layer])
    return painted.reshape(canvas.shape)


def _shade(areas: Covers, owners: Ints, lights: NDArray[np.int32], rim: int) -> NDArray[np.int32]:
    """Brightness of objects at pixels, (N,): their light, less towards their outlines."""
    rows, columns = np.divmod(areas.spots, lights.shape[2])
    shade = lights[0, owners, columns] + lights[1, owners, rows]
    hollow = np.maximum(2 * PIXEL - areas.depth, 0) * (rim * 8 // 100)
    return shade - hollow * (owners >= 0)


def _layers(spots: Ints) -> tuple[Ints, list[int]]:
    """An order that takes the lowest polygon of every pixel first, then the second, and so on.

    And where in it each of these layers begins and ends.
    """
    heights = np.bincount(spots)
    heights = heights[heights > 0]
    firsts = heights.cumsum() - heights
    layers = [firsts[heights > height] + height for height in range(heights.max(initial=0))]
    return np.concatenate([firsts[:0], *layers]), [0, *accumulate(map(len, layers))]


def finish(canvas: Canvas, style: Style, draws: Draws) -> NDArray[np.uint8]:
    """Add noise and turn the canvas into a picture."""
    amplitude = draws.integer(*style.noise)
    pixels = canvas.transpose(1, 2, 0)
    noise = draws.integers(-amplitude, amplitude, *pixels.shape)
    return np.minimum(np.maximum(noise + pixels, 0), 255).astype(np.uint8)
