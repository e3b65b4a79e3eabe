"""Painting: backgrounds, clutter and objects, on an integer canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnicost.data.tiny.layout import HORIZON_PERCENT, Placement
from omnicost.data.tiny.raster import (
    PIXEL,
    Covers,
    Draws,
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

Canvas = NDArray[np.int32]  # (size, size, 3), grey levels
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
    levels = levels + spread(draws.integers(-22, 22, 7, 7, 1), size)
    return levels * tint // 255


def _fog(size: int, grey: int, draws: Draws) -> Canvas:
    return spread(draws.integers(-34, 34, 4, 4, 1), size) + grey


def _room(size: int, grey: int, draws: Draws) -> Canvas:
    """Wall, skirting and a darker or lighter floor."""
    levels = np.full((size, size, 1), grey, np.int32)
    edge = draws.integer(size * 45 // 100, size * 75 // 100)
    levels[edge:] += draws.integer(14, 44) * (1 if draws.chance(50) else -1)
    levels[edge : edge + 1] -= 30
    corner = draws.integer(0, size - 1)
    levels[:edge, :corner] += draws.integer(-16, 16)
    return levels


def _street(size: int, grey: int, draws: Draws) -> Canvas:
    """Sky, a row of houses, and a road that lightens towards the horizon."""
    horizon = size * HORIZON_PERCENT // 100
    levels = np.empty((size, size, 1), np.int32)
    levels[:horizon] = grey + 60 - np.arange(horizon, dtype=np.int32)[:, None, None]
    for x in range(0, size, size // 8):
        top = draws.integer(horizon // 6, horizon - 2)
        levels[top:horizon, x : x + size // 8] = grey + draws.integer(-30, 20)
    road = np.arange(size - horizon, dtype=np.int32)[:, None, None]
    levels[horizon:] = grey + 14 - road * 2 // 3
    return levels


def _slope(size: int, grey: int, draws: Draws) -> Canvas:
    """A plain gradient in a random direction."""
    steps = np.arange(size, dtype=np.int32) - size // 2
    across, down = draws.integer(-2, 2), draws.integer(-2, 2)
    return grey + (steps * across)[None, :, None] + (steps * down)[:, None, None]


def _checks(size: int, grey: int, draws: Draws) -> Canvas:
    """Two greys in squares."""
    cell = np.arange(size, dtype=np.int32) // draws.integer(4, 14)
    odd = (cell[:, None] + cell[None, :]) % 2
    return (grey + (2 * odd - 1) * draws.integer(6, 20))[:, :, None]


def _bands(size: int, grey: int, draws: Draws) -> Canvas:
    """Upright, level or slanting bands."""
    steps = np.arange(size, dtype=np.int32)
    slant = draws.integer(0, 2)
    along = steps[None, :] * (slant != 0) + steps[:, None] * (slant != 1)
    odd = along // draws.integer(4, 12) % 2
    return (grey + (2 * odd - 1) * draws.integer(6, 20))[:, :, None]


GROUNDS: dict[str, Callable[[int, int, Draws], Canvas]] = {
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


def _light(placement: Placement, style: Style, size: int, stripe: int) -> NDArray[np.int32]:
    """Brightness of an object over the whole picture, (size, size); 256 is plain."""
    steps = np.arange(size, dtype=np.int32)
    scale = max(placement.side, PIXEL)
    light_x, light_y = style.light
    across = (steps * PIXEL - placement.centre[0]) * (light_x * 48) // scale
    down = (steps * PIXEL - placement.centre[1]) * (light_y * 48) // scale + 256
    if style.stripes:
        down += (steps // stripe % 2 * 2 - 1) * (style.stripes * 256 // 100)
    return across[None, :] + down[:, None]


def pose(placement: Placement) -> Pose:
    """How the parts of an object stand on the picture."""
    kind = KINDS[placement.name]
    sides = (placement.side * kind.width // 100, placement.side * kind.height // 100)
    return Pose(placement.centre, sides, placement.turn, placement.mirrored)


class Stroke(NamedTuple):
    """A polygon's colour, and the light on its object, (size, size); None for flat clutter."""

    colour: Colour
    light: NDArray[np.int32] | None = None


def paint(canvas: Canvas, areas: Covers, strokes: Sequence[Stroke], style: Style) -> None:
    """Paint polygons one over the other; what can be is computed for all of them at once."""
    shaded = np.array([stroke.light is not None for stroke in strokes]).repeat(areas.counts)
    plain = np.array([stroke.colour for stroke in strokes], np.int32)
    plain = plain.repeat(areas.counts, axis=0)
    colours = plain * _shade(areas, strokes, shaded, style)[:, None] >> 8
    inset = PIXEL * 3 // 4 if style.outline else 0
    alphas = opacity(areas.depth - shaded.astype(np.int32) * inset)[:, None]
    layers = [areas.views(colours), areas.views(alphas)]
    if style.outline:  # beneath each part, a darker one that shows at the edge
        layers += [
            areas.views(plain * 45 // 100),
            areas.views((opacity(areas.depth) * shaded)[:, None]),
        ]
    for window, colour, alpha, *edge in zip(areas.windows, *layers, strict=True):
        view = canvas[window]
        if edge:
            blend(view, edge[0], edge[1])
        blend(view, colour, alpha)


def _shade(
    areas: Covers, strokes: Sequence[Stroke], shaded: NDArray[np.bool_], style: Style
) -> NDArray[np.int32]:
    """Brightness of every pixel of every polygon, (N,); 256 is plain."""
    hollow = np.maximum(2 * PIXEL - areas.depth, 0) * (style.rim * 8 // 100)
    shade = np.full(areas.depth.shape, 256, np.int32)
    for window, stroke, view in zip(areas.windows, strokes, areas.views(shade), strict=True):
        if stroke.light is not None:
            view[:] = stroke.light[window]
    return shade - hollow * shaded


def finish(canvas: Canvas, style: Style, draws: Draws) -> NDArray[np.uint8]:
    """Add noise and turn the canvas into a picture."""
    amplitude = draw_range(style.noise, draws)
    noise = draws.integers(-amplitude, amplitude, *canvas.shape)
    return np.minimum(np.maximum(canvas + noise, 0), 255).astype(np.uint8)
