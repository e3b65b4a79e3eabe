"""Seeds, splits and weak labels."""

from pathlib import Path

import numpy as np
import pytest
from data_samples import ellipse, every_form, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import REAL
from pycocotools import mask as mask_api
from pydantic import ValidationError
from scipy import ndimage

from omnicost.annotation import WEAK_TYPES, AnnotationType, Policy
from omnicost.data import AnnotatorNoise, Dataset, SizeBounds, open_dataset, weak_label
from omnicost.data.columns import Columns, Header, offsets
from omnicost.data.seeding import derive_seed
from omnicost.data.splits import assign, permutation
from omnicost.data.weak import SCRIBBLE_POINTS, scribble
from omnicost.errors import InputError

TYPES = len(AnnotationType)
NOISY = AnnotatorNoise(box_jitter=0.2, missed=0.2, wrong_tag=0.3, off_object_point=0.5)


def in_memory(masks: list[list[np.ndarray]], classes: int = 5) -> Dataset:
    """A data set of one image per list of masks, without pictures."""
    flat = [mask for each in masks for mask in each]
    rles = [mask_api.encode(np.asfortranarray(mask, np.uint8)) for mask in flat]
    boxes = np.array([mask_api.toBbox(rle) for rle in rles]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    columns = Columns(
        image_ids=np.arange(len(masks)) * 3 + 1,
        file_names=np.array([f"{n}.png" for n in range(len(masks))], np.str_),
        sizes=np.array([each[0].shape if each else (9, 9) for each in masks], np.int32),
        first_annotation=offsets(np.array([len(each) for each in masks])),
        annotation_ids=np.arange(len(flat)) * 2 + 5,
        class_indices=np.arange(len(flat)) % classes,
        boxes=boxes.astype(np.float32),
        areas=np.array([mask.sum() for mask in flat], np.float64),
        is_crowd=np.zeros(len(flat), bool),
        rle_offsets=offsets(np.array([len(rle["counts"]) for rle in rles])),
        rle_bytes=np.frombuffer(b"".join(rle["counts"] for rle in rles), np.uint8),
    )
    names = tuple(f"class {n}" for n in range(classes))
    header = Header(names, tuple(range(classes)), SizeBounds())
    return Dataset("made", "train", header, columns, Path("nowhere"))


def images(count: int) -> Dataset:
    return in_memory([[] for _ in range(count)])


@st.composite
def some_masks(draw: st.DrawFn) -> list[list[np.ndarray]]:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    mask = bits.filter(any).map(lambda each: np.array(each).reshape(height, width))
    return draw(st.lists(st.lists(mask, min_size=1, max_size=3), min_size=1, max_size=3))


# --- seeds


@given(st.lists(st.one_of(st.integers(), st.text(), st.booleans(), st.none()), min_size=1))
def test_a_seed_depends_on_its_parts_only(parts: list[object]) -> None:
    """The same parts give the same seed, more parts another; it fits 63 bits."""
    assert derive_seed(*parts) == derive_seed(*parts)
    assert derive_seed(*parts) != derive_seed(*parts, 0)
    assert 0 <= derive_seed(*parts) < 2**63


def test_seeds_tell_kinds_apart_and_numpy_from_python_not() -> None:
    """1 and "1" are different draws, 1 and np.int64(1) the same one."""
    assert derive_seed(1) != derive_seed("1")
    assert derive_seed("a", "b") != derive_seed("ab")
    assert derive_seed(np.int64(1), np.float64(0.5)) == derive_seed(1, 0.5)
    assert derive_seed(AnnotationType.BOX) == derive_seed("box")
    with pytest.raises(TypeError):
        derive_seed(object())


def test_seeds_never_change() -> None:
    """The seed of a draw is the same in every version and on every machine."""
    assert derive_seed("split", 0) == 3332283676546850710


# --- splits


@given(st.integers(1, 400), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1))
def test_masks_are_nested(count: int, seed: int, one: float, other: float) -> None:
    """The images with masks at a smaller share are among those at a larger one."""
    dataset, (small, large) = images(count), sorted((one, other))
    less = assign(dataset, Policy.cell("point", small), seed) == AnnotationType.MASK.strength
    more = assign(dataset, Policy.cell("box", large), seed) == AnnotationType.MASK.strength
    assert not (less & ~more).any()


@given(st.integers(1, 300), st.lists(st.integers(0, 5), min_size=TYPES, max_size=TYPES).filter(any))
def test_any_policy_is_kept_to_the_image(count: int, weights: list[int]) -> None:
    """Every type gets its share within one image, masks at least one where they have a share.

    The image lifted to a mask is the next type's, which may then be one and a half short.
    """
    shares = np.array(weights) / sum(weights)
    policy = Policy.of(dict(zip(AnnotationType, shares.tolist(), strict=True)))
    given_types = np.bincount(assign(images(count), policy, 3), minlength=TYPES)
    assert given_types.sum() == count
    lifted = 0 < policy.mask_share * count < 0.5
    assert np.all(np.abs(given_types - shares * count) <= (1.5 if lifted else 1) + 1e-6)
    assert given_types[-1] >= (policy.mask_share > 0)
    assert not given_types[shares == 0].any()


def test_one_percent_of_cityscapes() -> None:
    """1% of 2,975 images is 29 or 30."""
    strengths = assign(images(2975), Policy.cell("point", 0.01), 0)
    assert (strengths == AnnotationType.MASK.strength).sum() in (29, 30)


def test_seeds_choose_other_images() -> None:
    """Two seeds give two orders, one seed one order; both hold every image once."""
    dataset = images(100)
    assert sorted(permutation(dataset, 0)) == list(range(100))
    np.testing.assert_array_equal(permutation(dataset, 0), permutation(images(100), 0))
    assert (permutation(dataset, 0) != permutation(dataset, 1)).any()


def test_no_image_cannot_be_split() -> None:
    """An empty data set is refused in one line."""
    with pytest.raises(InputError, match="has no image"):
        assign(images(0), Policy.cell("point", 0.1), 0)


# --- weak labels


@given(some_masks(), st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_perfect_labels_tell_the_truth(masks: list[list[np.ndarray]], seed: int) -> None:
    """Tags are the classes present, points lie on their masks, boxes are the tight ones."""
    dataset = in_memory(masks)
    for index, present in enumerate(masks):
        truth = dataset.instances(index)
        tags = weak_label(dataset, index, AnnotationType.CLASS, seed=seed)
        assert tags.class_indices.tolist() == sorted(set(truth.class_indices.tolist()))
        pointed = weak_label(dataset, index, AnnotationType.POINT, seed=seed)
        assert pointed.annotation_ids.tolist() == truth.annotation_ids.tolist()
        assert pointed.points is not None
        for (x, y), mask in zip(pointed.points[:, 0], present, strict=True):
            assert x % 1 == y % 1 == 0.5
            assert mask[int(y), int(x)]
        boxed = weak_label(dataset, index, AnnotationType.BOX, seed=seed)
        np.testing.assert_array_equal(boxed.boxes, truth.boxes)
        assert boxed.class_indices.tolist() == truth.class_indices.tolist()


@given(some_masks(), st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_scribbles_lie_on_their_masks(masks: list[list[np.ndarray]], seed: int) -> None:
    """Whatever the shape, all points of a stroke are pixels of one part of its instance."""
    dataset = in_memory(masks)
    for index, present in enumerate(masks):
        drawn = weak_label(dataset, index, AnnotationType.SCRIBBLE, seed=seed)
        assert drawn.points is not None
        assert drawn.points.shape == (len(present), SCRIBBLE_POINTS, 2)
        for stroke, mask in zip(drawn.points, present, strict=True):
            parts, _ = ndimage.label(mask, np.ones((3, 3)))
            columns, rows = np.floor(stroke).astype(int).T
            assert (stroke % 1 == 0.5).all()
            assert set(parts[rows, columns]) <= {*(set(parts.flat) - {0})}
            assert len(set(parts[rows, columns])) == 1


@pytest.mark.parametrize("size", [60, 300])
def test_a_scribble_runs_along_the_middle(size: int) -> None:
    """A bent bar's stroke stays a fifth of its width from the middle, over half of its length.

    Two annotators draw two strokes; one seed draws one.
    """
    width = size // 10
    mask = np.zeros((size, size), bool)
    mask[:, :width] = mask[-width:, :] = True
    first, second = (scribble(mask, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first != second).any()
    np.testing.assert_array_equal(first, scribble(mask, np.random.default_rng(0)))
    down, across = first[:, 0] < width, first[:, 1] > size - width
    assert (down | across).all()
    corner = down & across
    off = np.where(down, first[:, 0], size - first[:, 1]) - width / 2
    assert (np.abs(off[~corner]) <= max(width / 5, 1)).all()
    along = np.where(across & ~down, size + first[:, 0], first[:, 1])
    assert (np.abs(np.diff(along)) > 0.1 * size).all()
    assert np.ptp(along) > size


@given(some_masks(), st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_noise_does_not_depend_on_the_other_images(
    masks: list[list[np.ndarray]], seed: int
) -> None:
    """An image alone gets the very label it gets among others, at every kind."""
    dataset = in_memory(masks)
    last = len(masks) - 1
    alone = dataset.take(np.array([last]))
    for kind in WEAK_TYPES:
        for one, other in zip(
            weak_label(dataset, last, kind, NOISY, seed),
            weak_label(alone, 0, kind, NOISY, seed),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


@given(some_masks(), st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_noisy_boxes_stay_boxes(masks: list[list[np.ndarray]], jitter: float) -> None:
    """However shaken, a box is inside the picture and at least a pixel wide and high."""
    dataset = in_memory(masks)
    height, width = masks[0][0].shape
    boxes = weak_label(dataset, 0, AnnotationType.BOX, AnnotatorNoise(box_jitter=jitter)).boxes
    assert boxes is not None
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1 - 1e-5).all()  # float32


def many() -> Dataset:
    disc = ellipse(30, 30, 15, 15, 8, 6)
    return in_memory([[disc, disc, disc] for _ in range(700)])


def labels(noise: AnnotatorNoise, kind: AnnotationType, seed: int = 0) -> list[np.ndarray]:
    dataset = many()
    found = [weak_label(dataset, n, kind, noise, seed) for n in range(len(dataset))]
    return [
        np.concatenate([each[n] for each in found]) for n in range(4) if found[0][n] is not None
    ]


def test_missed_instances_come_at_their_rate() -> None:
    """A rate of 0.3 leaves out about 30% of 2,100 instances, the same ones for boxes and points."""
    noise = AnnotatorNoise(missed=0.3)
    pointed = labels(noise, AnnotationType.POINT)[1]
    assert len(pointed) == pytest.approx(1470, abs=80)
    np.testing.assert_array_equal(pointed, labels(noise, AnnotationType.BOX)[1])


def test_wrong_tags_come_at_their_rate() -> None:
    """A rate of 0.25 gives about 25% of the instances another class, any of them alike."""
    truth = labels(AnnotatorNoise(), AnnotationType.BOX)[0]
    said = labels(AnnotatorNoise(wrong_tag=0.25), AnnotationType.BOX)[0]
    assert (truth != said).mean() == pytest.approx(0.25, abs=0.03)
    steps = np.bincount((said - truth) % 5, minlength=5)[1:]
    assert steps.min() > 0.7 * steps.mean()


def tags(noise: AnnotatorNoise, classes: int, present: int, images: int = 600) -> list[np.ndarray]:
    """What annotators said of images that hold the first classes, one instance each."""
    disc = ellipse(30, 30, 15, 15, 8, 6)
    dataset = in_memory([[disc] * present] * images, classes)
    dataset.columns.class_indices[:] = np.tile(np.arange(present), images)
    return [weak_label(dataset, n, AnnotationType.CLASS, noise)[0] for n in range(images)]


def test_tags_are_wrong_at_their_rate() -> None:
    """A rate of 0.25 names a quarter of the lone tags of images wrong, each other class alike."""
    said = np.concatenate(tags(AnnotatorNoise(wrong_tag=0.25), classes=5, present=1))
    assert len(said) == 600
    assert (said != 0).mean() == pytest.approx(0.25, abs=0.05)
    wrong = np.bincount(said, minlength=5)[1:]
    assert wrong.min() > 0.6 * wrong.mean()


@pytest.mark.parametrize(("classes", "expected"), [(1, 0), (2, 1)])
def test_a_wrong_tag_is_another_class(classes: int, expected: int) -> None:
    """Where one is always wrong, it is the other of two classes; the only class cannot be wrong."""
    said = tags(AnnotatorNoise(wrong_tag=1.0), classes, present=1, images=20)
    assert [each.tolist() for each in said] == [[expected]] * 20


def test_tags_are_missed_at_their_rate_and_said_once() -> None:
    """A rate of 0.4 leaves out that share of the tags; no class is named twice."""
    said = tags(AnnotatorNoise(missed=0.4), classes=5, present=3)
    assert sum(map(len, said)) / (3 * 600) == pytest.approx(0.6, abs=0.04)
    confused = tags(AnnotatorNoise(wrong_tag=0.5), classes=3, present=3)
    assert all(len(set(each.tolist())) == len(each) for each in confused)


def test_points_miss_their_object_at_their_rate() -> None:
    """A rate of 0.4 puts about 40% of the points off the object, but near it."""
    points = labels(AnnotatorNoise(off_object_point=0.4), AnnotationType.POINT)[2][:, 0]
    columns, rows = points.astype(int).T
    on = ellipse(30, 30, 15, 15, 8, 6)[rows, columns]
    assert on.mean() == pytest.approx(0.6, abs=0.04)
    assert (np.abs(points - 15.5) <= 10).all()


def test_points_are_uniform_over_the_mask() -> None:
    """Every pixel of the mask is as likely as any other (chi-square of 2,100 draws)."""
    points = labels(AnnotatorNoise(), AnnotationType.POINT)[2][:, 0].astype(int)
    mask = ellipse(30, 30, 15, 15, 8, 6)
    counts = np.bincount(points[:, 1] * 30 + points[:, 0], minlength=900)[mask.ravel()]
    expected = len(points) / mask.sum()
    spread = ((counts - expected) ** 2 / expected).sum() / (mask.sum() - 1)
    assert 0.6 < spread < 1.4


def test_jitter_is_in_shares_of_the_side() -> None:
    """The edges of boxes 13 wide and 17 high move by 5% of that."""
    noisy, exact = (
        labels(AnnotatorNoise(box_jitter=jitter), AnnotationType.BOX)[2] for jitter in (0.05, 0.0)
    )
    moved = (noisy - exact).std(axis=0)
    np.testing.assert_allclose(moved, np.array([13, 17, 13, 17]) * 0.05, rtol=0.1)


def test_seeds_give_other_points() -> None:
    """Annotators of another seed click elsewhere."""
    one, other = (labels(AnnotatorNoise(), AnnotationType.POINT, seed)[2] for seed in (0, 1))
    assert (one != other).any(axis=1).mean() > 0.9


def test_none_says_nothing_and_masks_are_refused(tmp_path: Path) -> None:
    """`none` has no tag; a mask is no weak label."""
    dataset = open_dataset(write(tmp_path, every_form()), "train")
    assert weak_label(dataset, 1, AnnotationType.NONE).class_indices.shape == (0,)
    with pytest.raises(InputError, match="not weak"):
        weak_label(dataset, 1, AnnotationType.MASK)


def test_crowds_are_not_labelled(tmp_path: Path) -> None:
    """Image 20 has a car and a toothbrush, and a crowd that nobody is asked about."""
    dataset = open_dataset(write(tmp_path, every_form()), "train")
    label = weak_label(dataset, 1, AnnotationType.BOX)
    assert label.annotation_ids.tolist() == [5, 7]


def test_an_invisible_instance_is_pointed_at_in_its_box(tmp_path: Path) -> None:
    """A polygon too thin to cover a pixel gets a point in the middle of its box."""
    content = every_form()
    content["annotations"] = [
        {"id": 1, "image_id": 4, "category_id": 3, "segmentation": [[5, 5, 6, 5]], "iscrowd": 0}
        | {"bbox": [5, 5, 1, 0], "area": 0}
    ]
    dataset = open_dataset(write(tmp_path, content), "train")
    np.testing.assert_allclose(weak_label(dataset, 0, AnnotationType.POINT).points, [[[5.5, 5]]])


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_are_shares(rate: float) -> None:
    """A rate outside [0, 1] is refused, and so is an unknown one."""
    with pytest.raises(ValidationError):
        AnnotatorNoise(missed=rate)
    with pytest.raises(ValidationError):
        AnnotatorNoise(**{"typos": 0.1})


@pytest.mark.skipif(not (REAL / "coco").is_dir(), reason="real photos are not there")
def test_points_on_real_masks() -> None:
    """On real COCO masks every point lies on its mask."""
    dataset = open_dataset(REAL / "coco", "val")
    for index in range(len(dataset)):
        masks = dataset.instances(index).masks()
        points = weak_label(dataset, index, AnnotationType.POINT).points
        assert points is not None
        for (x, y), mask in zip(points[:, 0], masks, strict=True):
            assert mask[int(y), int(x)] or not mask.any()
