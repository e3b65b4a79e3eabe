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
NEVER = 1 << 24  # farther than any picture, in Edges' units
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
        return (low + (words.astype(np.int64) * (high - low + 1) >> 16)).astype(np.int32).reshape(shape)


class Polygons(NamedTuple):
    """Convex polygons of one object, all their vertices in a row.

    Attributes:
        vertices: (V, 2), counter-clockwise on a picture whose y points down.
        following: (V,), index of each vertex' successor in its polygon.
        starts: where each polygon begins, and V at the end.
    """

    vertices: Ints
    following: Ints
    starts: tuple[int, ...]


class Edges(NamedTuple):
    """Edges of placed polygons: start, inward normal (256 units long), and their scalar product."""

    points: Ints
    normals: Ints
    offsets: Ints


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


def place(
    polygons: Polygons, centre: tuple[int, int], size: tuple[int, int], turn: int, mirrored: bool
) -> Edges:
    """Scale, turn and move polygons drawn on a 100 x 100 square about the origin.

    Args:
        centre: x, y on the picture, fixed-point.
        size: width and height of the square on the picture, fixed-point.
        turn: 256ths of a full turn.
        mirrored: swap left and right.
    """
    x = polygons.vertices[:, 0] * (-size[0] if mirrored else size[0])
    y = polygons.vertices[:, 1] * size[1]
    sine, cosine = int(SINES[turn % 256]), int(SINES[(turn + 64) % 256])
    points = np.empty_like(polygons.vertices)
    points[:, 0] = (x * cosine - y * sine) // (100 * UNIT) + centre[0]
    points[:, 1] = (x * sine + y * cosine) // (100 * UNIT) + centre[1]
    along = points[polygons.following] - points
    length = np.maximum(np.sqrt((along * along).sum(axis=1)).astype(np.int64), 1)
    sign = -256 if mirrored else 256
    normals = np.empty_like(points)
    normals[:, 0] = -along[:, 1] * sign // length
    normals[:, 1] = along[:, 0] * sign // length
    offsets = (normals * points).sum(axis=1)
    offsets[(along == 0).all(axis=1)] = -NEVER  # no length, no direction: cuts nothing off
    return Edges(points, normals, offsets)


def cover(edges: Edges, first: int, last: int, size: int) -> Cover | None:
    """Distance field of the polygon of edges first..last-1 on a size x size picture.

    Returns:
        None where the polygon lies outside the picture.
    """
    points = edges.points[first:last]
    x0, y0 = (max(int(v) // PIXEL - 1, 0) for v in points.min(axis=0))
    x1, y1 = (min(int(v) // PIXEL + 2, size) for v in points.max(axis=0))
    if x0 >= x1 or y0 >= y1:
        return None
    normals = edges.normals[first:last].astype(np.int32)
    offsets = edges.offsets[first:last].astype(np.int32)
    x = np.arange(x0, x1, dtype=np.int32) * PIXEL + PIXEL // 2
    y = np.arange(y0, y1, dtype=np.int32) * PIXEL + PIXEL // 2
    across = normals[:, :1] * x
    down = normals[:, 1:] * y - offsets[:, None]
    depth = (across[:, None, :] + down[:, :, None]).min(axis=0) >> 8
    return Cover(slice(y0, y1), slice(x0, x1), depth)


def blend(canvas: NDArray[np.int32], area: Cover, colour: NDArray[np.int32], inset: int = 0) -> None:
    """Paint a colour, (3,) or (h, w, 3), over a window, with an edge one pixel soft.

    Args:
        inset: how far inside the outline to stop, fixed-point.
    """
    alpha = np.clip(area.depth + (PIXEL // 2 - inset), 0, PIXEL)[:, :, None]
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
