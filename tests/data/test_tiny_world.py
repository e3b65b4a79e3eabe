"""The tiny world: the same bytes everywhere, exact labels, and the phenomena it is there for."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from omnicost.data.opening import open_dataset
from omnicost.data.tiny.designs import DESIGNS
from omnicost.data.tiny.disk import write_coco
from omnicost.data.tiny.paint import _tints
from omnicost.data.tiny.parts import SELF, TONES
from omnicost.data.tiny.shapes import NAMED
from omnicost.data.tiny.specs import WorldSpec
from omnicost.data.tiny.world import FEWEST_PIXELS, SPECS, Scene, render

DATASETS = ("tiny-coco", "tiny-ade20k", "tiny-cityscapes")
# Of the first pictures. Whoever changes what is drawn raises the spec's version, and these.
FINGERPRINTS = {
    "tiny-coco": "ea732e94fb15cc9e",
    "tiny-ade20k": "ca7c09fc35f4ea1f",
    "tiny-cityscapes": "5710566bb15f4e25",
    "tiny-web": "c2557b6dea5e8c87",
    "tiny-things": "44492a43d533753b",
}


def fingerprint(name: str) -> str:
    hasher = hashlib.sha256()
    for split in ("train", "val"):
        for index in range(8):
            for column in render(SPECS[name], split, index):
                hasher.update(str((column.shape, column.dtype)).encode() + column.tobytes())
    return hasher.hexdigest()[:16]


@cache
def scenes(name: str, split: str = "train", count: int = 60) -> list[Scene]:
    return [render(SPECS[name], split, index) for index in range(count)]


@pytest.mark.parametrize("name", SPECS)
def test_pictures_are_the_recorded_ones(name: str) -> None:
    """Pictures and labels have the recorded bytes: on every machine, or a version was forgotten."""
    assert fingerprint(name) == FINGERPRINTS[name]


def test_another_process_draws_the_same_bytes() -> None:
    """Nothing depends on the process: not on hash seeds, nor on what was drawn before."""
    code = (
        "from omnicost.data.tiny.world import SPECS, render; import hashlib;"
        "s = render(SPECS['tiny-web'], 'val', 5);"
        "print(hashlib.sha256(b''.join(c.tobytes() for c in s)).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
    )
    scene = render(SPECS["tiny-web"], "val", 5)
    own = hashlib.sha256(b"".join(column.tobytes() for column in scene)).hexdigest()
    assert other.stdout.strip() == own


def test_no_picture_is_in_two_splits_or_two_worlds() -> None:
    """Training and validation pictures, and those of different worlds, never coincide."""
    seen = Counter(
        scene.image.tobytes()
        for name in SPECS
        for split, count in (("train", 60), ("val", 20))
        for scene in scenes(name, split, count)
    )
    assert max(seen.values()) == 1


def test_the_web_has_no_style_of_a_data_set() -> None:
    """tiny-web names every class, and is painted in styles of its own."""
    web = SPECS["tiny-web"]
    for name in DATASETS:
        assert set(SPECS[name].class_names) <= set(web.class_names)
        assert not set(SPECS[name].styles) & set(web.styles)
        manners = {(style.light, style.rim, style.outline) for style in SPECS[name].styles}
        assert not manners & {(style.light, style.rim, style.outline) for style in web.styles}


@given(name=st.sampled_from(sorted(SPECS)), index=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_labels_are_visible_extents(name: str, index: int) -> None:
    """Masks are disjoint (only what shows is labelled), large enough to see, and named."""
    spec = SPECS[name]
    scene = render(spec, "train", index)
    assert scene.image.shape == (64, 64, 3)
    assert scene.image.dtype == np.uint8
    assert len(scene.masks) == len(scene.class_indices)
    assert scene.class_indices.dtype == np.int64
    assert scene.masks.sum(axis=0).max(initial=0) <= 1
    assert all(mask.sum() >= FEWEST_PIXELS for mask in scene.masks)
    assert set(scene.class_indices.tolist()) <= set(range(len(spec.class_names)))
    assert bool(len(scene.segments)) <= spec.segments
    assert bool(len(scene.parts)) <= spec.segments


@pytest.mark.parametrize(
    ("name", "classes", "per_image", "instances"),
    [("tiny-coco", 15, 2, 4), ("tiny-ade20k", 20, 3, 5.5), ("tiny-cityscapes", 8, 3, 8.5)],
)
def test_numbers_are_in_the_spirit_of_the_originals(
    name: str, classes: int, per_image: float, instances: float
) -> None:
    """K, c and n are what the data set was designed with."""
    drawn = scenes(name)
    assert len(SPECS[name].class_names) == classes
    assert np.mean([len(set(s.class_indices)) for s in drawn]) == pytest.approx(per_image, rel=0.15)
    assert np.mean([len(s.masks) for s in drawn]) == pytest.approx(instances, rel=0.15)


@pytest.mark.parametrize("name", DATASETS)
def test_every_size_and_class_occurs(name: str) -> None:
    """AP of small, medium and large is each measured on a fair share of the instances."""
    areas = np.concatenate([scene.masks.sum(axis=(1, 2)) for scene in scenes(name)])
    small, medium = SPECS[name].size_bounds
    shares = np.histogram(areas, [0, small, medium, 64 * 64])[0] / len(areas)
    assert shares.min() > 0.05
    classes = np.concatenate([scene.class_indices for scene in scenes(name)])
    assert set(classes.tolist()) == set(range(len(SPECS[name].class_names)))


@pytest.mark.parametrize("name", DATASETS)
def test_instances_of_a_class_touch(name: str) -> None:
    """A point is ambiguous: a good share of the instances touch another of their class."""
    touching = total = 0
    for scene in scenes(name):
        for number, mask in enumerate(scene.masks):
            fellows = scene.class_indices == scene.class_indices[number]
            fellows[number] = False
            total += 1
            touching += bool((_grown(mask) & scene.masks[fellows].any(axis=0)).any())
    assert touching / total > 0.2


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


@pytest.mark.parametrize("name", DATASETS)
def test_some_labels_leave_part_of_the_thing_out(name: str) -> None:
    """Class prompts carry information: some classes' labelled extent is not the visible thing."""
    labels = {
        design: {part.label for part in DESIGNS[design].parts} for design in SPECS[name].class_names
    }
    assert all(SELF in found for found in labels.values())
    assert any(found != {SELF} for found in labels.values())


@pytest.mark.parametrize("name", DATASETS)
def test_some_classes_look_alike(name: str) -> None:
    """Captions with absent classes can go wrong: some classes are close in hue."""
    hues = sorted(DESIGNS[design].hue for design in SPECS[name].class_names)
    assert min(np.diff(hues)) < 20


@pytest.mark.parametrize("name", DATASETS)
def test_alike_classes_differ_in_what_their_labels_leave_out(name: str) -> None:
    """Of two classes in the same colours one is labelled whole, the other without a part of it."""
    spec = SPECS[name]
    assert len(spec.alike) >= 2
    for pair in spec.alike:
        assert set(pair) <= set(spec.class_names)
        assert len({_labelled_whole(design) for design in pair}) == 2
        one, other = (_hues_of(spec, design) for design in pair)
        assert one & other


def _labelled_whole(design: str) -> bool:
    return all(part.label == SELF for part in DESIGNS[design].parts)


def _hues_of(spec: WorldSpec, design: str) -> set[int]:
    parts = zip(_tints(design, spec.alike)[:, 0], DESIGNS[design].parts, strict=True)
    return {int(hue) for hue, part in parts if part.label == SELF and part.tone == "body"}


def test_made_up_things_are_of_no_class() -> None:
    """tiny-things, from which tiny SAM learns, has no class of a data set."""
    things = set(SPECS["tiny-things"].class_names)
    assert not things & set(NAMED)
    assert things | set(NAMED) == set(DESIGNS)
    shapes = [design.parts for design in NAMED.values()]
    assert all(DESIGNS[thing].parts not in shapes for thing in things)
    assert 0.4 < np.mean([not _labelled_whole(thing) for thing in things]) < 0.8


def test_a_carried_class_is_an_instance_of_its_own() -> None:
    """A rider's bicycle is labelled bicycle, whose mask is not the rider's."""
    names = SPECS["tiny-cityscapes"].class_names
    rider, bicycle = names.index("rider"), names.index("bicycle")
    with_rider = [s for s in scenes("tiny-cityscapes") if rider in s.class_indices]
    assert np.mean([bicycle in scene.class_indices for scene in with_rider]) > 0.9


def test_segments_hold_parts_wholes_and_groups() -> None:
    """In tiny-things, labels are among the segments, which nest: inside them, and around them."""
    inside = around = labels = 0
    for scene in scenes("tiny-things"):
        packed = {segment.tobytes() for segment in (*scene.segments, *scene.parts)}
        assert len(packed) == len(scene.segments) + len(scene.parts)
        whole = {segment.tobytes() for segment in scene.segments}
        assert all(mask.tobytes() in whole for mask in scene.masks)
        part_areas, areas = (s.sum(axis=(1, 2)) for s in (scene.parts, scene.segments))
        for mask in scene.masks:
            labels += 1
            inside += bool(((scene.parts & mask).sum(axis=(1, 2)) == part_areas).any())
            common = (scene.segments & mask).sum(axis=(1, 2))
            around += bool(((common == mask.sum()) & (areas > mask.sum())).any())
    assert inside / labels > 0.7
    assert around / labels > 0.3


def test_only_made_up_things_have_segments() -> None:
    """A data set's pictures, and the web's, have labels and nothing else."""
    for name, spec in SPECS.items():
        assert spec.segments == (name == "tiny-things")


def test_a_few_things_of_the_web_are_misnamed() -> None:
    """Names of tiny-web are noisy, at the rate of its spec; those of the data sets are not."""
    assert SPECS["tiny-web"].misnaming == 3
    assert all(SPECS[name].misnaming == 0 for name in DATASETS)


def test_kinds_use_known_tones_and_labels() -> None:
    """Every part has a tone, a convex outline, and the label of a class or none."""
    for design in DESIGNS.values():
        for part in design.parts:
            assert part.tone in TONES
            assert part.label in (SELF, None) or part.label in DESIGNS
            assert _is_convex(part.outline)


def test_files_hold_what_was_drawn(tmp_path: Path) -> None:
    """Written as COCO and opened by name of folder, a data set is the world's, mask by mask."""
    spec = SPECS["tiny-ade20k"]
    seen: list[tuple[int, int]] = []
    write_coco(
        spec,
        tmp_path,
        {"train": 5, "val": 3},
        lambda done, total, figures: seen.append((done, total)),
    )
    assert seen == [(done, 8) for done in range(1, 9)]
    for split, count in (("train", 5), ("val", 3)):
        dataset = open_dataset(tmp_path, split)
        assert len(dataset) == count
        assert dataset.class_names == spec.class_names
        assert tuple(dataset.size_bounds) == spec.size_bounds
        for index in range(count):
            scene = render(spec, split, index)
            found = dataset.instances(index)
            assert np.array_equal(dataset.image(index), scene.image)
            assert np.array_equal(found.masks(), scene.masks)
            assert np.array_equal(found.class_indices, scene.class_indices)
            assert np.array_equal(found.areas, scene.masks.sum(axis=(1, 2)))


def test_boxes_on_disk_are_tight(tmp_path: Path) -> None:
    """`bbox` is x, y, width and height of the mask's pixels."""
    write_coco(SPECS["tiny-coco"], tmp_path, {"val": 2})
    content = json.loads((tmp_path / "annotations" / "instances_val.json").read_text())
    scene = render(SPECS["tiny-coco"], "val", 0)
    annotations = [a for a in content["annotations"] if a["image_id"] == 1]
    for annotation, mask in zip(annotations, scene.masks, strict=True):
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y, x + width - 1, y + height - 1) == (
            columns.min(),
            rows.min(),
            columns.max(),
            rows.max(),
        )


def _is_convex(outline: list[tuple[int, int]]) -> bool:
    ring = np.array(outline)
    along = np.roll(ring, -1, axis=0) - ring
    after = np.roll(along, -1, axis=0)
    turns = along[:, 0] * after[:, 1] - along[:, 1] * after[:, 0]
    # A hair's breadth: discs' corners are rounded to whole units.
    limit = 3 * np.abs(along).max()
    return bool((turns >= -limit).all() or (turns <= limit).all())
