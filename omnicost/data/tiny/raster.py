"""Integer drawing: convex polygons with soft edges, the same bytes on every machine.

Coordinates are fixed-point sixteenths of a pixel. No float decides a pixel except an IEEE square
root of an integer, which is correctly rounded everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PIXEL = 16  # fixed-point units in a pixel
NEVER = 1 << 24  # a distance larger than any, in 256ths of the fixed-point unit
UNIT = 4096  # fixed-point one of sines and cosines
# Angles are counted in 256ths of a turn; twelve bits absorb what libm's may differ by.
SINES = np.round(np.sin(np.arange(256) * (2 * np.pi / 256)) * UNIT).astype(np.int64)


class Draws:
    """Random integers from PCG64's raw stream, which numpy promises never to change."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)
        self._pool: list[int] = []

    def integer(self, low: int, high: int) -> int:
        """One integer in [low, high], both ends included."""
        if not self._pool:
            self._pool = (self._bits.random_raw(256) >> np.uint64(32)).tolist()
        return low + (self._pool.pop() * (high - low + 1) >> 32)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 draws."""
        return self.integer(0, 99) < percent

    def integers(self, low: int, high: int, *shape: int) -> NDArray[np.int32]:
        """An array of integers in [low, high], both ends included; `high - low` < 65,536."""
        count = int(np.prod(shape))
        words = self._bits.random_raw((count + 3) // 4).astype("<u8").view("<u2")[:count]
        return (
            (low + (words.astype(np.int64) * (high - low + 1) >> 16))
            .astype(np.int32)
            .reshape(shape)
        )


class Polygons(NamedTuple):
    """Convex polygons of one object, all their vertices in a row.

    Attributes:
        vertices: (V, 2), counter-clockwise on a picture whose y points down.
        following: (V,), index of the next vertex of the same polygon.
        starts: where each polygon begins, and V at the end.
    """

    vertices: Ints
    following: Ints
    starts: tuple[int, ...]


class Cover(NamedTuple):
    """Where a polygon lies: a window of the picture, and the distance inside its outline.

    Attributes:
        rows, columns: the window.
        depth: (h, w) int32, sixteenths of a pixel from the outline, positive inside.
    """

    rows: slice
    columns: slice
    depth: NDArray[np.int32]


def pack(polygons: list[list[tuple[int, int]]]) -> Polygons:
    """Lay out convex polygons in one array, all turning the same way."""
    vertices: list[tuple[int, int]] = []
    following: list[int] = []
    starts = [0]
    for polygon in polygons:
        ring = polygon if _doubled_area(polygon) > 0 else polygon[::-1]
        first = len(vertices)
        vertices.extend(ring)
        following.extend(first + (i + 1) % len(ring) for i in range(len(ring)))
        starts.append(len(vertices))
    return Polygons(np.array(vertices, np.int64), np.array(following, np.int64), tuple(starts))


def _doubled_area(polygon: list[tuple[int, int]]) -> int:
    """Twice the signed area (shoelace formula)."""
    turned = polygon[1:] + polygon[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, turned, strict=True))


def covers(
    polygons: Polygons,
    centre: tuple[int, int],
    sides: tuple[int, int],
    turn: int,
    mirrored: bool,
    size: int,
) -> list[Cover | None]:
    """Distance fields of polygons drawn on a 100 x 100 square about the origin, once placed.

    Args:
        centre: x, y on the picture, fixed-point.
        sides: width and height of the square on the picture, fixed-point.
        turn: 256ths of a full turn.
        mirrored: swap left and right.
        size: side of the picture in pixels.

    Returns:
        One per polygon; None for one outside the picture.
    """
    points = _placed(polygons, centre, sides, turn, mirrored)
    across, down = _distances(points, polygons.following, mirrored, size)
    firsts = np.array(polygons.starts[:-1])
    lowest = (np.minimum.reduceat(points, firsts) // PIXEL - 1).tolist()
    highest = (np.maximum.reduceat(points, firsts) // PIXEL + 2).tolist()
    found: list[Cover | None] = []
    for number, first in enumerate(polygons.starts[:-1]):
        last = polygons.starts[number + 1]
        x0, y0 = (max(side, 0) for side in lowest[number])
        x1, y1 = (min(side, size) for side in highest[number])
        if x0 >= x1 or y0 >= y1:
            found.append(None)
            continue
        depth = across[first:last, None, x0:x1] + down[first:last, y0:y1, None]
        found.append(Cover(slice(y0, y1), slice(x0, x1), depth.min(axis=0) >> 8))
    return found


def _placed(
    polygons: Polygons, centre: tuple[int, int], sides: tuple[int, int], turn: int, mirrored: bool
) -> Ints:
    """Vertices on the picture, (V, 2), fixed-point."""
    x = polygons.vertices[:, 0] * (-sides[0] if mirrored else sides[0])
    y = polygons.vertices[:, 1] * sides[1]
    sine, cosine = int(SINES[turn % 256]), int(SINES[(turn + 64) % 256])
    points = np.empty_like(polygons.vertices)
    points[:, 0] = (x * cosine - y * sine) // (100 * UNIT) + centre[0]
    points[:, 1] = (x * sine + y * cosine) // (100 * UNIT) + centre[1]
    return points


def _distances(
    points: Ints, following: Ints, mirrored: bool, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Distance of pixel centres inside every edge, (V, size) by column plus (V, size) by row.

    The unit is a 256th of the fixed-point unit.
    """
    along = points[following] - points
    length = np.maximum(np.sqrt((along * along).sum(axis=1)).astype(np.int64), 1)
    sign = -256 if mirrored else 256
    normal_x = -along[:, 1] * sign // length
    normal_y = along[:, 0] * sign // length
    offsets = normal_x * points[:, 0] + normal_y * points[:, 1]
    offsets[(along == 0).all(axis=1)] = -NEVER  # no length, no direction: cuts nothing off
    middles = np.arange(size, dtype=np.int64) * PIXEL + PIXEL // 2
    across = normal_x[:, None] * middles
    down = normal_y[:, None] * middles - offsets[:, None]
    return across.astype(np.int32), down.astype(np.int32)


def blend(
    canvas: NDArray[np.int32], area: Cover, colour: NDArray[np.int32], inset: int = 0
) -> None:
    """Paint a colour, (3,) or (h, w, 3), over a window, with an edge one pixel soft.

    Args:
        inset: how far inside the outline to stop, fixed-point.
    """
    alpha = np.minimum(np.maximum(area.depth + (PIXEL // 2 - inset), 0), PIXEL)[:, :, None]
    window = canvas[area.rows, area.columns]
    window += (colour - window) * alpha >> 4


def hsv_to_rgb(hue: int, saturation: int, value: int) -> NDArray[np.int32]:
    """Colour of a hue in degrees (any integer) and saturation and value in percent (clipped)."""
    saturation, value = min(max(saturation, 0), 100), min(max(value, 0), 100)
    top = value * 255 // 100
    sector, rest = divmod(hue % 360, 60)
    low = top * (100 - saturation) // 100
    falling = top * (6000 - saturation * rest) // 6000
    rising = top * (6000 - saturation * (60 - rest)) // 6000
    channels = (
        (top, rising, low),
        (falling, top, low),
        (low, top, rising),
        (low, falling, top),
        (rising, low, top),
        (top, low, falling),
    )[sector]
    return np.array(channels, np.int32)


def spread(grid: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Stretch a (G, G, C) grid of values over a size x size picture, bilinearly."""
    cells = grid.shape[0] - 1
    steps = (2 * np.arange(size, dtype=np.int32) + 1) * cells * 64 // (2 * size)
    cell, weight = steps >> 6, steps & 63
    weight = weight[:, None, None]
    rows = grid[cell] * (64 - weight) + grid[cell + 1] * weight
    weight = weight.reshape(1, size, 1)
    return rows[:, cell] * (64 - weight) + rows[:, cell + 1] * weight >> 12
