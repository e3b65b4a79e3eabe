"""What the things of the tiny world are made of: convex outlines, tones, and parts with labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Polygon = list[tuple[int, int]]
SELF = "self"


class Part(NamedTuple):
    """One convex part: its outline, its tone (a key of `TONES`), and whose label it carries."""

    outline: Polygon
    tone: str = "body"
    label: str | None = SELF


class Design(NamedTuple):
    """How the things of a class look.

    Attributes:
        hue: degrees; the class' own.
        saturation, value: percent.
        width, height: percent of the size drawn for an object.
        tilt: largest turn either way, 256ths of a full turn.
        parts: back to front.
    """

    hue: int
    saturation: int
    value: int
    width: int
    height: int
    tilt: int
    parts: tuple[Part, ...]


# Tone: saturation and value in percent of the object's own, and a turn of its hue in degrees.
TONES: dict[str, tuple[int, int, int]] = {
    "body": (100, 100, 0),
    "deep": (105, 68, 0),
    "bright": (72, 122, 0),
    "warm": (100, 104, -18),
    "cool": (100, 96, 18),
    "dark": (45, 34, 0),
    "pale": (24, 128, 0),
    "grey": (8, 62, 0),
    "skin": (52, 112, 65),
}


def box(x0: int, y0: int, x1: int, y1: int) -> Polygon:
    """An upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


# Cosines of the twelve hours, in 4,096ths: integers, since numpy's cosine differs between machines.
HOURS = (4096, 3547, 2048, 0, -2048, -3547, -4096, -3547, -2048, 0, 2048, 3547)


def disc(x: int, y: int, rx: int, ry: int | None = None) -> Polygon:
    """An ellipse, as a polygon of 12 corners, 2% wider to make up for the area they cut off."""
    ry = rx if ry is None else ry
    half, whole = 50 * 4096, 100 * 4096
    return [
        (
            x + (102 * rx * HOURS[hour] + half) // whole,
            y + (102 * ry * HOURS[hour - 3] + half) // whole,
        )
        for hour in range(12)
    ]


def bar(x0: int, y0: int, x1: int, y1: int, half_width: int) -> Polygon:
    """A straight bar between two points."""
    length = max(round(float(np.hypot(x1 - x0, y1 - y0))), 1)
    across_x, across_y = -(y1 - y0) * half_width // length, (x1 - x0) * half_width // length
    return [
        (x0 - across_x, y0 - across_y),
        (x1 - across_x, y1 - across_y),
        (x1 + across_x, y1 + across_y),
        (x0 + across_x, y0 + across_y),
    ]
