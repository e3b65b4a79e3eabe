"""Integer drawing: convex polygons with soft edges, the same bytes on every machine.

Coordinates are fixed-point sixteenths of a pixel. No float decides a pixel except an IEEE square
root of an integer, which is correctly rounded everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
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
        steps = words.astype(np.uint32) * np.uint32(high - low + 1) >> np.uint32(16)
        return steps.view(np.int32).reshape(shape) + np.int32(low)


class Polygons(NamedTuple):
    """Convex polygons of one object, all their vertices in a row.

    Attributes:
        vertices: (V, 2), in the order that makes the shoelace area positive.
        corners: (P,), how many of the vertices are each polygon's.
    """

    vertices: Ints
    corners: Ints


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
    """What shows of polygons drawn one over the other: at each pixel, none, one or several.

    Attributes:
        spots: (N,), number of the pixel, row by row; ascending.
        polygons: (N,), number of the polygon that shows there; ascending at one pixel.
        depth: (N,) int32, fixed-point distance of the pixel's centre from the polygon's outline,
            positive inside.
    """

    spots: Ints
    polygons: Ints
    depth: NDArray[np.int32]


def pack(polygons: list[list[tuple[int, int]]]) -> Polygons:
    """Lay out convex polygons in one array, all turning the same way."""
    rings = [polygon if _doubled_area(polygon) > 0 else polygon[::-1] for polygon in polygons]
    corners = np.array([len(ring) for ring in rings], np.int64)
    return Polygons(np.array([vertex for ring in rings for vertex in ring], np.int64), corners)


def _doubled_area(polygon: list[tuple[int, int]]) -> int:
    """Twice the signed area (shoelace formula)."""
    turned = polygon[1:] + polygon[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, turned, strict=True))


def covers(shapes: Sequence[tuple[Polygons, Pose]], size: int) -> Covers:
    """What shows of all polygons of all shapes, in order, on a size x size picture.

    All at once: numpy's calls cost more than its work on a polygon's few pixels.
    """
    if not shapes:
        return Covers(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))
    corners = np.concatenate([polygons.corners for polygons, _ in shapes])
    firsts = corners.cumsum() - corners
    points, signs = _vertices(shapes)
    edges = _edges(points, signs, firsts, corners)
    order = np.argsort(corners, kind="stable")  # those of as many corners side by side
    grid = _grid(_windows(points, firsts, size)[:, order])
    depth = _depth(edges, firsts[order], corners[order], grid)
    near = np.flatnonzero(opacity(depth) > 0)
    rows = grid.of_pixel[near]
    spots = grid.y[rows].astype(np.int64) * size + grid.x[near]
    return _showing(spots, order[grid.of_row[rows]], depth[near], size)


def _vertices(shapes: Sequence[tuple[Polygons, Pose]]) -> tuple[Ints, Ints]:
    """Vertices on the picture, (2, V) fixed-point, and 1, or -1 if mirrored, (V,)."""
    counts = [len(polygons.vertices) for polygons, _ in shapes]
    poses = np.array([_numbers(pose) for _, pose in shapes], np.int64).T.repeat(counts, axis=1)
    cosine, sine = poses[5:]
    x, y = np.concatenate([polygons.vertices for polygons, _ in shapes]).T * poses[2:4]
    turned = np.stack([x * cosine - y * sine, x * sine + y * cosine])
    return turned // (100 * UNIT) + poses[:2], poses[4]


def _numbers(pose: Pose) -> tuple[int, ...]:
    """A row of centre, sides (width negative if mirrored), sign, cosine and sine."""
    sign = -1 if pose.mirrored else 1
    turned = SINES[(pose.turn + 64) % 256], SINES[pose.turn % 256]
    return *pose.centre, pose.sides[0] * sign, pose.sides[1], sign, *turned


def _edges(points: Ints, signs: Ints, firsts: Ints, corners: Ints) -> NDArray[np.int32]:
    """Of every edge, (3, V): how far inside it a pixel is, per column, per row, and of the first.

    The unit is a 256th of the fixed-point unit; distances are those of the pixels' centres.
    """
    following = np.arange(1, len(signs) + 1)
    following[firsts + corners - 1] = firsts
    along = points[:, following] - points
    length = np.sqrt((along * along).sum(axis=0)).astype(np.int64)
    across, down = along[::-1] * (signs * [[-256], [256]]) // np.maximum(length, 1)
    start = (across + down) * (PIXEL // 2) - (across * points[0] + down * points[1])
    start[length == 0] = NEVER  # no length, no direction: cuts nothing off
    return np.stack([across * PIXEL, down * PIXEL, start]).astype(np.int32)


def _windows(points: Ints, firsts: Ints, size: int) -> Ints:
    """Left, top, right and bottom of the polygons' bounding boxes, (4, P).

    They are a pixel wider, as far as they are on the picture.
    """
    lowest = np.minimum.reduceat(points, firsts, axis=1) // PIXEL - 1
    highest = np.maximum.reduceat(points, firsts, axis=1) // PIXEL + 2
    return np.minimum(np.maximum(np.concatenate([lowest, highest]), 0), size)


class _Grid(NamedTuple):
    """All rows and pixels of all windows, window after window, row after row.

    Attributes:
        of_row, y: (R,), the window each row is in, and where it is on the picture.
        of_pixel, x: (N,), the row each pixel is in, and where it is on the picture.
        widths: (R,), pixels in each row.
        row_starts, pixel_starts: (P + 1,), where each window begins among them.
    """

    of_row: Ints
    y: NDArray[np.int32]
    of_pixel: Ints
    x: NDArray[np.int32]
    widths: Ints
    row_starts: Ints
    pixel_starts: Ints


def _grid(windows: Ints) -> _Grid:
    left, top, right, bottom = windows
    of_row, y, row_starts = _runs(top, bottom - top)
    widths = (right - left)[of_row]
    of_pixel, x, pixel_starts = _runs(left[of_row], widths)
    return _Grid(of_row, y, of_pixel, x, widths, row_starts, pixel_starts[row_starts])


def _runs(starts: Ints, lengths: Ints) -> tuple[Ints, NDArray[np.int32], Ints]:
    """Runs of integers, end to end: of each, which run and its value; where the runs begin."""
    firsts = np.concatenate([[0], lengths.cumsum()])
    run = np.arange(len(lengths)).repeat(lengths)
    values = np.arange(firsts[-1]) + (starts - firsts[:-1])[run]
    return run, values.astype(np.int32), firsts


def _depth(edges: NDArray[np.int32], firsts: Ints, corners: Ints, grid: _Grid) -> NDArray[np.int32]:
    """Distance of every pixel of a grid inside its polygon, (N,) fixed-point.

    Polygons of as many corners stand side by side, and are gone through together.
    """
    depth = np.empty(len(grid.x), np.int32)
    bounds = [0, *(np.flatnonzero(np.diff(corners)) + 1).tolist(), len(corners)]
    for first, last in pairwise(bounds):
        rows = slice(*grid.row_starts[[first, last]])
        pixels = slice(*grid.pixel_starts[[first, last]])
        numbers = firsts[grid.of_row[rows]] + np.arange(corners[first])[:, None]
        across, down, start = edges.take(numbers, axis=1)
        start += down * grid.y[rows]
        widths = grid.widths[rows]
        inside = across.repeat(widths, axis=1) * grid.x[pixels]
        inside += start.repeat(widths, axis=1)
        inside.min(axis=0, out=depth[pixels])
    return depth >> 8


def _showing(spots: Ints, polygons: Ints, depth: NDArray[np.int32], size: int) -> Covers:
    """In order, without what lies beneath a polygon that hides it."""
    opaque = opacity(depth) == PIXEL
    highest = np.zeros(size * size, np.int64)
    np.maximum.at(highest, spots[opaque], polygons[opaque])
    # One number for each, of three fields of 20 bits: one array is quicker to sort than three.
    keys = spots << 40 | polygons << 20 | depth + PIXEL
    keys = np.sort(keys[polygons >= highest[spots]])
    field = (1 << 20) - 1
    return Covers(keys >> 40, keys >> 20 & field, (keys & field).astype(np.int32) - PIXEL)


def opacity(depth: NDArray[np.int32]) -> NDArray[np.int32]:
    """0 outside to `PIXEL` inside, over one pixel across the outline."""
    return np.minimum(np.maximum(depth + PIXEL // 2, 0), PIXEL)


def blend(
    under: NDArray[np.int32], colour: NDArray[np.int32], alpha: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Mix a colour into what is under it, `PIXEL` being opaque; (3, N), (3, N) and (N,)."""
    return under + ((colour - under) * alpha >> 4)


# Red, green and blue by sixth of the hue circle: which of top, rising, falling and low.
SECTORS = np.array([[0, 2, 3, 3, 1, 0], [1, 0, 0, 2, 3, 3], [3, 3, 1, 0, 0, 2]])


def hsv_to_rgb(hue: Ints | int, saturation: Ints | int, value: Ints | int) -> NDArray[np.int32]:
    """Colours, (3, ...), of hues in degrees (any), saturations and values in percent (clipped)."""
    saturation = np.minimum(np.maximum(saturation, 0), 100)
    top = np.minimum(np.maximum(value, 0), 100) * 255 // 100
    sector, rest = np.divmod(np.mod(hue, 360), 60)
    rising = top * (6000 - saturation * (60 - rest)) // 6000
    falling = top * (6000 - saturation * rest) // 6000
    low = top * (100 - saturation) // 100
    return np.choose(SECTORS[:, sector], [top, rising, falling, low]).astype(np.int32)


def spread(grid: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Stretch a (G, G) grid of values over a size x size picture, bilinearly."""
    weights = _weights(len(grid), size)
    return weights @ grid @ weights.T >> 12


@cache
def _weights(points: int, size: int) -> NDArray[np.int32]:
    """How much of each of a row's points is in each of the pixels, in 64ths; (size, points)."""
    steps = (2 * np.arange(size, dtype=np.int32) + 1) * (points - 1) * 64 // (2 * size)
    return np.maximum(64 - np.abs(steps[:, None] - 64 * np.arange(points, dtype=np.int32)), 0)
