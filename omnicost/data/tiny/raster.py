"""Integer drawing: convex polygons with soft edges, the same bytes on every machine.

Coordinates are fixed-point sixteenths of a pixel. No float decides a pixel except an IEEE square
root of an integer, which is correctly rounded everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

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
        vertices: (V, 2), in the order that makes the shoelace area positive.
        following: (V,), index of the next vertex of the same polygon.
        firsts: where each polygon begins.
    """

    vertices: Ints
    following: Ints
    firsts: tuple[int, ...]


class Pose(NamedTuple):
    """How polygons drawn on a 100 x 100 square about the origin stand on the picture.

    Attributes:
        centre: x, y, fixed-point.
        sides: width and height of the square, fixed-point.
        turn: 256ths of a full turn.
        mirrored: whether left and right are swapped.
    """

    centre: tuple[int, int]
    sides: tuple[int, int]
    turn: int
    mirrored: bool


class Covers(NamedTuple):
    """Where P polygons lie: a window of the picture for each, their pixels in one row.

    Attributes:
        windows: rows and columns of each; empty for a polygon outside the picture.
        counts: pixels in each window.
        depth: (N,) int32, fixed-point distance of a window's pixels from its polygon's outline,
            positive inside, row by row, window after window.
    """

    windows: list[tuple[slice, slice]]
    counts: list[int]
    depth: NDArray[np.int32]

    def views(self, values: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """`values`, (N, ...), in the shapes of the windows, (h, w, ...)."""
        first = 0
        for (rows, columns), count in zip(self.windows, self.counts, strict=True):
            shape = rows.stop - rows.start, columns.stop - columns.start
            yield values[first : first + count].reshape(shape + values.shape[1:])
            first += count


def pack(polygons: list[list[tuple[int, int]]]) -> Polygons:
    """Lay out convex polygons in one array, all turning the same way."""
    vertices: list[tuple[int, int]] = []
    following: list[int] = []
    firsts: list[int] = []
    for polygon in polygons:
        ring = polygon if _doubled_area(polygon) > 0 else polygon[::-1]
        firsts.append(len(vertices))
        following.extend(len(vertices) + (i + 1) % len(ring) for i in range(len(ring)))
        vertices.extend(ring)
    return Polygons(np.array(vertices, np.int64), np.array(following, np.int64), tuple(firsts))


def _doubled_area(polygon: list[tuple[int, int]]) -> int:
    """Twice the signed area (shoelace formula)."""
    turned = polygon[1:] + polygon[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, turned, strict=True))


def covers(shapes: Sequence[tuple[Polygons, Pose]], size: int) -> Covers:
    """Distance fields of all polygons of all shapes, in order, on a size x size picture.

    One call for a whole picture: numpy's calls cost more than its work on so few pixels.
    """
    if not shapes:
        return Covers([], [], np.zeros(0, np.int32))
    points, along, signs = _edges(shapes)
    starts = _starts(shapes)
    windows = _windows(points, starts[:-1], size)
    counts = [(rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in windows]
    found = Covers(windows, counts, np.empty(sum(counts), np.int32))
    across, down = _distances(points, along, signs, size)
    for (first, last), window, depth in zip(
        pairwise(starts), windows, found.views(found.depth), strict=True
    ):
        if depth.size:
            spans = across[first:last, :, window[1]] + down[first:last, window[0]]
            np.minimum.reduce(spans, axis=0, out=depth)
    return found._replace(depth=found.depth >> 8)


def _windows(points: Ints, firsts: list[int], size: int) -> list[tuple[slice, slice]]:
    """The polygons' bounding boxes, a pixel wider, as far as they are on the picture."""
    lowest = np.clip(np.minimum.reduceat(points, firsts) // PIXEL - 1, 0, size)
    highest = np.clip(np.maximum.reduceat(points, firsts) // PIXEL + 2, 0, size)
    corners = np.concatenate([lowest, np.maximum(lowest, highest)], axis=1).tolist()
    return [(slice(y0, y1), slice(x0, x1)) for x0, y0, x1, y1 in corners]


def _starts(shapes: Sequence[tuple[Polygons, Pose]]) -> list[int]:
    """Where each polygon's vertices begin among those of all shapes, and their number."""
    starts: list[int] = []
    total = 0
    for polygons, _ in shapes:
        starts += [total + first for first in polygons.firsts]
        total += len(polygons.vertices)
    return [*starts, total]


def _edges(shapes: Sequence[tuple[Polygons, Pose]]) -> tuple[Ints, Ints, Ints]:
    """Edges on the picture: start and direction, (V, 2) fixed-point, and 1, or -1 if mirrored."""
    counts = [len(polygons.vertices) for polygons, _ in shapes]
    poses = np.array([_numbers(pose) for _, pose in shapes], np.int64).repeat(counts, axis=0)
    centres, signs, cosine, sine = poses[:, 0:2], poses[:, 4], poses[:, 5], poses[:, 6]
    x, y = (np.concatenate([p.vertices for p, _ in shapes]) * poses[:, 2:4]).T
    points = np.empty_like(centres)
    points[:, 0] = (x * cosine - y * sine) // (100 * UNIT)
    points[:, 1] = (x * sine + y * cosine) // (100 * UNIT)
    points += centres
    offsets = np.cumsum([0, *counts[:-1]]).repeat(counts)
    following = np.concatenate([polygons.following for polygons, _ in shapes]) + offsets
    return points, points[following] - points, signs


def _numbers(pose: Pose) -> tuple[int, ...]:
    """A row of centre, sides (width negative if mirrored), sign, cosine and sine."""
    sign = -1 if pose.mirrored else 1
    turned = int(SINES[(pose.turn + 64) % 256]), int(SINES[pose.turn % 256])
    return *pose.centre, pose.sides[0] * sign, pose.sides[1], sign, *turned


def _distances(
    points: Ints, along: Ints, signs: Ints, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Distance of pixel centres inside every edge: (V, 1, size) by column + (V, size, 1) by row.

    The unit is a 256th of the fixed-point unit.
    """
    length = np.maximum(np.sqrt((along * along).sum(axis=1)).astype(np.int64), 1)
    normals = along[:, ::-1] * (signs[:, None] * (-256, 256)) // length[:, None]
    offsets = (normals * points).sum(axis=1)
    offsets[(along == 0).all(axis=1)] = -NEVER  # no length, no direction: cuts nothing off
    middles = np.arange(size, dtype=np.int32) * PIXEL + PIXEL // 2
    slopes = normals.astype(np.int32)
    across = slopes[:, 0, None] * middles
    down = slopes[:, 1, None] * middles - offsets.astype(np.int32)[:, None]
    return across[:, None, :], down[:, :, None]


def opacity(depth: NDArray[np.int32]) -> NDArray[np.int32]:
    """0 outside to `PIXEL` inside, over one pixel across the outline."""
    return np.minimum(np.maximum(depth + PIXEL // 2, 0), PIXEL)


def blend(window: NDArray[np.int32], colour: NDArray[np.int32], alpha: NDArray[np.int32]) -> None:
    """Mix a colour into part of a canvas in place, `PIXEL` being opaque; all (h, w, 1 or 3)."""
    window += (colour - window) * alpha >> 4


def hsv_to_rgb(hue: int, saturation: int, value: int) -> tuple[int, int, int]:
    """Colour of a hue in degrees (any integer) and saturation and value in percent (clipped)."""
    saturation, value = min(max(saturation, 0), 100), min(max(value, 0), 100)
    top = value * 255 // 100
    sector, rest = divmod(hue % 360, 60)
    low = top * (100 - saturation) // 100
    falling = top * (6000 - saturation * rest) // 6000
    rising = top * (6000 - saturation * (60 - rest)) // 6000
    return (
        (top, rising, low),
        (falling, top, low),
        (low, top, rising),
        (low, falling, top),
        (rising, low, top),
        (top, low, falling),
    )[sector]


def spread(grid: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Stretch a (G, G, C) grid of values over a size x size picture, bilinearly."""
    cells = grid.shape[0] - 1
    steps = (2 * np.arange(size, dtype=np.int32) + 1) * cells * 64 // (2 * size)
    cell, weight = steps >> 6, steps & 63
    weight = weight[:, None, None]
    rows = grid[cell] * (64 - weight) + grid[cell + 1] * weight
    weight = weight.reshape(1, size, 1)
    return rows[:, cell] * (64 - weight) + rows[:, cell + 1] * weight >> 12
