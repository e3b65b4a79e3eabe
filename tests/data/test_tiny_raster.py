"""The tiny world's painter: areas, order, colours, draws."""

from __future__ import annotations

import colorsys
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.data.tiny import raster
from omnicost.data.tiny.designs import DESIGNS
from omnicost.data.tiny.paint import Strokes, paint
from omnicost.data.tiny.specs import Style


@given(
    width=st.integers(4, 40),
    height=st.integers(4, 40),
    turn=st.integers(0, 255),
    mirrored=st.booleans(),
)
def test_a_rectangle_covers_its_area(width: int, height: int, turn: int, mirrored: bool) -> None:
    """Placed, turned and mirrored, a rectangle keeps its area to within its edge's pixels."""
    square = raster.pack([[(-50, -50), (50, -50), (50, 50), (-50, 50)]])
    sides = (width * raster.PIXEL, height * raster.PIXEL)
    pose = raster.Pose((32 * raster.PIXEL, 32 * raster.PIXEL), sides, turn, mirrored)
    inside = int((raster.covers([(square, pose)], 64).depth >= 0).sum())
    assert abs(inside - width * height) <= width + height + 4


def test_what_is_outside_the_picture_covers_nothing() -> None:
    """A polygon beyond the edge has no pixel, and there may be no polygon at all."""
    square = raster.pack([[(-50, -50), (50, -50), (50, 50), (-50, 50)]])
    pose = raster.Pose((-900, 10), (160, 160), 0, False)
    assert len(raster.covers([(square, pose)], 64).spots) == 0
    assert len(raster.covers([], 64).spots) == 0


@given(seed=st.integers(0, 2**32), outline=st.booleans())
@settings(max_examples=40, deadline=None)
def test_painting_at_once_is_painting_one_after_the_other(seed: int, outline: bool) -> None:
    """What a polygon hides may be left out, and pixels may be taken layer by layer."""
    draws = raster.Draws(seed)
    parts = DESIGNS["rider"].parts
    shapes = [(raster.pack([part.outline]), _some_pose(draws)) for part in parts]
    strokes = Strokes(
        draws.integers(0, 255, 3, len(parts)),
        draws.integers(-1, 1, len(parts)).astype(np.int64),
        draws.integers(0, 256, 2, 3, 64),
    )
    style = Style("fog", outline=outline)
    canvas = draws.integers(0, 255, 3, 64, 64)
    at_once = paint(canvas, raster.covers(shapes, 64), strokes, style)
    for number, shape in enumerate(shapes):
        own = slice(number, number + 1)
        stroke = Strokes(strokes.colours[:, own], strokes.owners[own], strokes.lights)
        canvas = paint(canvas, raster.covers([shape], 64), stroke, style)
    assert np.array_equal(at_once, canvas)


def _some_pose(draws: raster.Draws) -> raster.Pose:
    """Anywhere on a picture, or partly off it."""
    x, y, width, height = (
        draws.integer(*limits) for limits in ((-80, 1100),) * 2 + ((0, 700),) * 2
    )
    return raster.Pose((x, y), (width, height), draws.integer(0, 255), draws.chance(50))


@given(st.integers(-400, 800), st.integers(0, 100), st.integers(0, 100))
def test_colours_are_those_of_the_standard_library(hue: int, saturation: int, value: int) -> None:
    """Integer HSV to RGB differs from colorsys by rounding only."""
    expected = colorsys.hsv_to_rgb(hue % 360 / 360, saturation / 100, value / 100)
    found = raster.hsv_to_rgb(hue, saturation, value)
    assert np.abs(np.array(expected) * 255 - found).max() < 3


def test_no_sine_is_near_a_rounding_edge() -> None:
    """The table of sines comes out the same wherever sines are right to ten digits."""
    exact = np.sin(np.arange(256) * (2 * np.pi / 256)) * raster.UNIT
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6


@given(st.integers(0, 2**63 - 1), st.integers(-1000, 1000), st.integers(0, 3000))
def test_draws_stay_within_their_limits(seed: int, low: int, span: int) -> None:
    """Both ends can be drawn, nothing beyond, alone or in arrays."""
    draws = raster.Draws(seed)
    numbers = [draws.integer(low, low + span) for _ in range(20)]
    array = draws.integers(low, low + span, 3, 7)
    assert array.shape == (3, 7)
    assert low <= min(numbers)
    assert low <= array.min()
    assert max(*numbers, array.max()) <= low + span


def test_draws_are_even() -> None:
    """Six faces, each within four standard deviations of its share."""
    draws = raster.Draws(1)
    counts = Counter(draws.integer(1, 6) for _ in range(6000))
    counts.update(draws.integers(1, 6, 6000).tolist())
    assert all(abs(counts[face] - 2000) < 4 * np.sqrt(2000 * 5 / 6) for face in range(1, 7))
