"""Painting: backgrounds, clutter and objects, on an integer canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.tiny.layout import HORIZON_PERCENT, Placement
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
from omnicost.data.tiny.shapes import KINDS, TONES
from omnicost.data.tiny.specs import Range, Style

Canvas = NDArray[np.int32]  # (3, size, size), levels of red, green and blue
Levels = NDArray[np.int32]  # (size, size)
Light = NDArray[np.int32]  # (2, size), brightness by column and by row, to be added; 256 is plain
Colour = tuple[int, int, int]
SCRAPS = tuple(
    pack([outline])
    for outline in (
        [(-50, -50), (50, -50), (50, 50), (-50, 50)],
        [(-50, 40), (0, -50), (50, 40)],
        [(-50, -12), (50, -12), (50, 12), (-50, 12)],
        [(-50, 0), (-25, -43), (25, -43), (50, 0), (25, 43), (-25, 43)],
    )
)


def draw_range(limits: Range, draws: Draws) -> int:
    """An integer within limits."""
    return draws.integer(*limits)


def background(style: Style, size: int, draws: Draws) -> Canvas:
    """The empty scene."""
    tint = np.array(hsv_to_rgb(draws.integer(0, 359), draw_range(style.tint, draws), 100), np.int32)
    grey = draw_range(style.grey, draws) * 255 // 100
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
    """A piece of clutter."""

    shape: Polygons
    pose: Pose
    colour: Colour


def draw_scrap(style: Style, hues: tuple[int, ...], size: int, draws: Draws) -> Scrap:
    """A piece of clutter: grey, or, as a decoy, in one of the hues."""
    centre = (draws.integer(0, size * PIXEL), draws.integer(0, size * PIXEL))
    sides = (draws.integer(3 * PIXEL, 15 * PIXEL), draws.integer(3 * PIXEL, 15 * PIXEL))
    shape = SCRAPS[draws.integer(0, len(SCRAPS) - 1)]
    pose = Pose(centre, sides, draws.integer(0, 255), False)
    if draws.chance(style.decoys):
        hue = hues[draws.integer(0, len(hues) - 1)]
        return Scrap(shape, pose, hsv_to_rgb(hue, draws.integer(35, 65), draws.integer(45, 80)))
    colour = draws.integer(0, 359), draw_range(style.tint, draws), draws.integer(18, 85)
    return Scrap(shape, pose, hsv_to_rgb(*colour))


class Brush:
    """How one object differs from others of its kind."""

    def __init__(self, placement: Placement, style: Style, size: int, draws: Draws) -> None:
        self._turn = draw_range(style.hue_turn, draws)
        self._saturation = draw_range(style.saturation, draws)
        self._value = draw_range(style.value, draws)
        self.light = _light(placement, style, size, draws.integer(2, 4))

    def colour(self, name: str, tone: str) -> Colour:
        """A tone of the colours of a class."""
        kind, (saturation, value, turn) = KINDS[name], TONES[tone]
        return hsv_to_rgb(
            kind.hue + self._turn + turn,
            kind.saturation * self._saturation * saturation // 10_000,
            kind.value * self._value * value // 10_000,
        )


def _light(placement: Placement, style: Style, size: int, stripe: int) -> Light:
    """Brightness of an object, wherever on the picture its parts are."""
    steps = np.arange(size, dtype=np.int32)
    scale = max(placement.side, PIXEL)
    light_x, light_y = style.light
    across = (steps * PIXEL - placement.centre[0]) * (light_x * 48) // scale
    down = (steps * PIXEL - placement.centre[1]) * (light_y * 48) // scale + 256
    if style.stripes:
        down += (steps // stripe % 2 * 2 - 1) * (style.stripes * 256 // 100)
    return np.stack([across, down])


def pose(placement: Placement) -> Pose:
    """How the parts of an object stand on the picture."""
    kind = KINDS[placement.name]
    sides = (placement.side * kind.width // 100, placement.side * kind.height // 100)
    return Pose(placement.centre, sides, placement.turn, placement.mirrored)


class Stroke(NamedTuple):
    """A polygon's colour, and the light on its object; None for flat clutter."""

    colour: Colour
    light: Light | None = None


def paint(canvas: Canvas, areas: Covers, strokes: Sequence[Stroke], style: Style) -> Canvas:
    """Paint polygons one over the other: at all pixels at once, layer by layer."""
    order, bounds = _layers(areas.spots)
    areas = Covers(areas.spots[order], areas.polygons[order], areas.depth[order])
    shaded = np.array([stroke.light is not None for stroke in strokes], np.int32)[areas.polygons]
    plain = _gather([stroke.colour for stroke in strokes], areas.polygons)
    colours = plain * _shade(areas, strokes, shaded, style, canvas.shape[-1]) >> 8
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


def _layers(spots: Ints) -> tuple[Ints, list[int]]:
    """An order that takes the lowest polygon of every pixel first, then the second, and so on.

    And where in it each of these layers begins and ends.
    """
    firsts = np.flatnonzero(np.diff(spots, prepend=-1))
    heights = np.diff(firsts, append=len(spots))
    layers = [firsts[heights > height] + height for height in range(heights.max(initial=0))]
    return np.concatenate([firsts[:0], *layers]), [0, *accumulate(map(len, layers))]


def _gather(colours: list[Colour], polygons: Ints) -> NDArray[np.int32]:
    """Colour of every pixel of every polygon, (3, N)."""
    table = np.array(colours, np.int32).reshape(-1, 3)
    return np.ascontiguousarray(table.T).take(polygons, axis=1)


def _shade(
    areas: Covers, strokes: Sequence[Stroke], shaded: NDArray[np.int32], style: Style, size: int
) -> NDArray[np.int32]:
    """Brightness of every pixel of every polygon, (N,); 256 is plain."""
    hollow = np.maximum(2 * PIXEL - areas.depth, 0) * (style.rim * 8 // 100)
    flat = np.array([[0], [256]], np.int32).repeat(size, axis=1)
    lights = np.array([flat if stroke.light is None else stroke.light for stroke in strokes])
    rows, columns = np.divmod(areas.spots, size)
    shade = lights[areas.polygons, 0, columns] + lights[areas.polygons, 1, rows]
    return shade - hollow * shaded


def finish(canvas: Canvas, style: Style, draws: Draws) -> NDArray[np.uint8]:
    """Add noise and turn the canvas into a picture."""
    amplitude = draw_range(style.noise, draws)
    pixels = canvas.transpose(1, 2, 0)
    noise = draws.integers(-amplitude, amplitude, *pixels.shape)
    return np.minimum(np.maximum(noise + pixels, 0), 255).astype(np.uint8)
