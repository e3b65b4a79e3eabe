import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from omnicost.pipeline.student import augment
from omnicost.pipeline.student.augment import Patch, Picture, View
from omnicost.pipeline.student.config import AugmentConfig, StudentConfig

PLAIN = View((40, 60), 0, 0, (40, 60), flip=False)
COCO = AugmentConfig()
CITYSCAPES = StudentConfig.preset("cityscapes/published").augment


def smooth_picture(height: int, width: int) -> np.ndarray:
    """A picture whose red is a ramp over x and green a ramp over y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 0 * x], -1).astype(np.uint8)


def picture_of(
    image: np.ndarray, masks: np.ndarray, classes: list[int], weights: list[float]
) -> Picture:
    """With each mask as the patch that holds it, or one larger than it need be."""
    patches = []
    for place, mask in enumerate(masks):
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if place % 2 or not len(rows):
            patches.append(Patch(0, 0, mask))
            continue
        top, left = int(rows[0]), int(columns[0])
        patches.append(Patch(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1]))
    return Picture(image, tuple(patches), np.array(classes), np.array(weights, np.float32))


def whole_cut(masks: np.ndarray, view: View) -> np.ndarray:
    """What `cut_masks` works out, the plain way: every pixel of every mask."""
    rows = augment._nearest(view.top, view.window[0], masks.shape[1], view.scaled[0])
    columns = augment._nearest(view.left, view.window[1], masks.shape[2], view.scaled[1])
    return masks[:, rows[:, None], columns[::-1] if view.flip else columns]


def sample(height: int = 40, width: int = 60) -> Picture:
    masks = np.zeros((2, height, width), np.uint8)
    masks[0, 5:15, 10:30] = 1
    masks[1, 30:, 50:] = 1
    return picture_of(smooth_picture(height, width), masks, [4, 9], [1.0, 0.5])


def masks_of(shown: Picture) -> np.ndarray:
    masks = np.zeros((len(shown.patches), *shown.image.shape[:2]), np.uint8)
    for mask, (top, left, pixels) in zip(masks, shown.patches, strict=True):
        mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return masks


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**32), st.booleans())
def test_masks_are_cut_as_if_every_pixel_were(
    height: int, width: int, seed: int, flip: bool
) -> None:
    """Patches give, bit for bit, what indexing every pixel of every mask gives, and which show."""
    rng = np.random.default_rng(seed)
    masks = (rng.random((4, height, width)) < rng.choice([0, 0.02, 0.7], 4)[:, None, None]).astype(
        np.uint8
    )
    masks[3, height // 2 :] = 0
    config = AugmentConfig(crop=(24, 32), jitter=(0.1, 3.0), flip=float(flip))
    view = augment.draw_view((height, width), config, rng)
    shown = picture_of(np.zeros((height, width, 3), np.uint8), masks, [0] * 4, [1] * 4)
    seen, found = augment.cut_masks(shown.patches, (height, width), view, config.crop)
    expected = whole_cut(masks, view)
    assert seen == np.flatnonzero(expected.any((1, 2))).tolist()
    inside = found[:, : view.window[0], : view.window[1]]
    np.testing.assert_array_equal(inside, expected[seen])
    assert found.sum() == inside.sum()


def test_view_of_everything_is_the_picture() -> None:
    """Scale 1, no crop, no flip leaves picture and masks as they are."""
    shown = sample()
    np.testing.assert_array_equal(augment.cut_image(shown.image, PLAIN), shown.image)
    seen, masks = augment.cut_masks(shown.patches, (40, 60), PLAIN, (40, 60))
    assert seen == [0, 1]
    np.testing.assert_array_equal(masks, masks_of(shown))


def test_flip_turns_picture_and_masks_together() -> None:
    """A flipped view is the mirror image of the plain one."""
    shown, flipped = sample(), PLAIN._replace(flip=True)
    np.testing.assert_array_equal(augment.cut_image(shown.image, flipped), shown.image[:, ::-1])
    _, masks = augment.cut_masks(shown.patches, (40, 60), flipped, (40, 60))
    np.testing.assert_array_equal(masks, masks_of(shown)[..., ::-1])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 200), st.integers(20, 200), st.integers(0, 2**32), st.sampled_from([0, 1, 2])
)
def test_masks_stay_on_what_they_show(height: int, width: int, seed: int, which: int) -> None:
    """After any view, a mask still covers the pixels that it covered: here, a colour."""
    masks = np.zeros((1, height, width), np.uint8)
    masks[0, height // 4 : height // 2 + 2, width // 4 : width // 2 + 3] = 1
    picture = np.zeros((height, width, 3), np.uint8)
    picture[masks[0] == 1] = 255
    config = [
        AugmentConfig(crop=(48, 64), jitter=(0.3, 2.0)),
        AugmentConfig(crop=(32, 32), jitter=None, short_edges=(24, 64), long_edge=100),
        AugmentConfig(crop=(64, 64), jitter=(0.8, 1.25)),
    ][which]
    seen = augment.augment(
        picture_of(picture, masks, [1], [1.0]),
        config,
        np.random.default_rng(seed),
    )
    assert seen.image.shape == (*config.crop, 3)
    if len(seen.masks):
        bright = seen.image[..., 0] > 128
        grey = (seen.image == augment.PADDING).all(-1)
        disagree = (bright != (seen.masks[0] == 1)) & ~grey
        # Interpolation blurs edges: the disagreement is of the order of the outline.
        edge = np.abs(np.diff(seen.masks[0].astype(int), axis=0)).sum()
        edge += np.abs(np.diff(seen.masks[0].astype(int), axis=1)).sum()
        assert disagree.sum() <= 2 * edge + 8


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32))
def test_views_stay_inside_the_picture(height: int, width: int, seed: int) -> None:
    """Any size of picture gives a window inside it and no larger than the crop."""
    for config in (COCO, CITYSCAPES):
        view = augment.draw_view((height, width), config, np.random.default_rng(seed))
        for start, part, whole, crop in zip(
            (view.top, view.left), view.window, view.scaled, config.crop, strict=True
        ):
            assert start >= 0
            assert start + part <= whole
            assert part <= crop


def test_jitter_spans_its_range() -> None:
    """Large-scale jitter draws scales over all of 0.1 to 2.0 of the picture fitted to the crop."""
    rng = np.random.default_rng(0)
    heights = [augment.draw_view((512, 1024), COCO, rng).scaled[0] for _ in range(2000)]
    assert min(heights) == pytest.approx(51, abs=3)
    assert max(heights) == pytest.approx(1024, abs=3)
    assert np.mean(heights) == pytest.approx(1.05 * 512, rel=0.03)


def test_short_edges_are_those_listed() -> None:
    """Cityscapes' short edge is drawn from 512 to 2048 in steps of a tenth of 1024."""
    rng = np.random.default_rng(0)
    heights = {augment.draw_view((1024, 2048), CITYSCAPES, rng).scaled[0] for _ in range(500)}
    assert heights == set(CITYSCAPES.short_edges)
    assert min(heights) == 512
    assert max(heights) == 2048


def test_instances_outside_the_crop_are_dropped() -> None:
    """A crop of the top left keeps the first instance with its class and weight only."""
    config = AugmentConfig(crop=(20, 40), jitter=None, short_edges=(40,), flip=0)
    seen = next(
        view
        for seed in range(200)
        if (view := augment.augment(sample(), config, np.random.default_rng(seed))).masks.shape[0]
        == 1
        and view.classes[0] == 4
    )
    assert seen.weights.tolist() == [1.0]
    assert seen.masks.shape == (1, 20, 40)


def test_padding_is_grey_and_holds_no_mask() -> None:
    """A picture smaller than the crop fills its top left; the rest is grey, and no mask."""
    config = AugmentConfig(crop=(80, 80), jitter=(0.5, 0.5), flip=0)
    seen = augment.augment(sample(), config, np.random.default_rng(0))
    assert (seen.image[27:, :] == augment.PADDING).all()
    assert not seen.masks[:, 27:].any()


def test_colour_changes_the_picture_only() -> None:
    """Colour jitter moves brightness and hue, leaves shape and masks, and stays in range."""
    picture = smooth_picture(32, 32)
    changed = [augment.jitter_colour(picture, np.random.default_rng(seed)) for seed in range(20)]
    assert all(view.dtype == np.uint8 and view.shape == picture.shape for view in changed)
    assert len({view.tobytes() for view in changed}) > 10
    grey = np.full((4, 4, 3), 120, np.uint8)
    for seed in range(20):
        view = augment.jitter_colour(grey, np.random.default_rng(seed)).astype(int)
        assert np.ptp(view, axis=2).max() <= 1  # grey has no hue to shift
        assert 0.5 * (120 - 32) - 2 <= view.mean() <= 1.5 * (120 + 32) + 2


def test_same_seed_same_view() -> None:
    """A view is a function of its generator's seed."""
    first, again = (
        augment.augment(sample(), CITYSCAPES, np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)


def test_two_ways_to_scale_are_refused() -> None:
    """Jitter and short edges together are a fault, and so is neither."""
    with pytest.raises(ValidationError, match="either jitter or short_edges"):
        AugmentConfig(short_edges=(640,))
    with pytest.raises(ValidationError, match="either jitter or short_edges"):
        AugmentConfig(jitter=None)
