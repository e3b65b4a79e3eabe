"""Portions of a large data set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from omnicost.pipeline.portions import MOST_IMAGES, WHOLE, portions_of


@given(st.integers(0, 20 * MOST_IMAGES))
def test_portions_hold_every_image_once(images: int) -> None:
    """One after the other, alike in size to an image, none larger than it may be."""
    parts = [range(images)[each.of(images)] for each in portions_of(images)]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, images)
    sizes = list(map(len, parts))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= MOST_IMAGES


def test_what_is_small_or_of_no_known_size_stays_whole() -> None:
    """One portion, which has no number in its stage's label."""
    assert portions_of(None) == portions_of(0) == portions_of(MOST_IMAGES) == (WHOLE,)
    assert str(WHOLE) == ""
    assert [str(each) for each in portions_of(MOST_IMAGES + 1)] == [" 1/2", " 2/2"]
