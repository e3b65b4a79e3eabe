"""Sets with given labels: one annotation type an image, said or told from what is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import picture
from given_sets import FORMS, like, write_export
from hypothesis import given
from hypothesis import strategies as st
from simulated_labels import simulate_labels

from omnicost.annotation import AnnotationType, Policy
from omnicost.coco import parse_coco, read_coco
from omnicost.coco.given import BOX, CLASS, MASK, NONE, POINT, UNSAID, given_labels
from omnicost.cost import stats_of_file
from omnicost.data import Dataset, open_dataset
from omnicost.data.check import check
from omnicost.data.given_labels import given_assignment, given_policy, is_given
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import write_set
from omnicost.data.splits import assign
from omnicost.data.weak import PERFECT, AnnotatorNoise, weak_label
from omnicost.errors import InputError

TRIANGLE = [[2, 2, 20, 2, 2, 20]]
BODY = {
    "mask": {"segmentation": TRIANGLE},
    "box": {"bbox": [2, 3, 10, 12], "segmentation": []},
    "point": {"point": [5.5, 6.5]},
    "keypoint": {"keypoints": [5.5, 6.5, 2], "bbox": [5.5, 6.5, 0, 0], "num_keypoints": 1},
    "tag": {},
}


def labelled(*images: tuple[str, ...], **said: str) -> dict[str, Any]:
    """COCO data: what is drawn in each image, and the types that image n says as `_n`."""
    return {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": 30, "width": 40}
            | ({"omnicost_type": said[f"_{n}"]} if f"_{n}" in said else {})
            for n in range(len(images))
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 10 * n + m, "image_id": n, "category_id": 1 + m % 2} | BODY[drawn]
            for n, image in enumerate(images)
            for m, drawn in enumerate(image)
        ],
    }


def opened(folder: Path, data: dict[str, Any], name: str = "all") -> Any:
    for image in data["images"]:
        picture(folder / image["file_name"], 30, 40, seed=image["id"])
    (folder / "instances.json").write_text(json.dumps(data))
    return open_dataset(folder, name)


def types_of(data: dict[str, Any]) -> list[str] | None:
    types = parse_coco(data).types
    return None if types is None else [str(tuple(AnnotationType)[kind]) for kind in types]


@pytest.mark.parametrize(
    ("images", "said", "types"),
    [
        ([("mask",), ()], {}, None),
        ([("mask", "box"), ("mask",)], {}, None),
        ([("tag",), ()], {}, None),
        ([("box",), ()], {}, ["box", "none"]),
        ([("mask",), ("box",), ("point",), ("keypoint",)], {}, ["mask", "box", "point", "point"]),
        ([("box", "box", "point"), ("mask", "box"), ("tag",)], {}, ["point", "box", "class"]),
        ([("box", "tag"), ("tag", "tag")], {}, ["box", "class"]),
        ([("tag",), ()], {"_0": "class"}, ["class", "none"]),
        ([("mask", "box"), ()], {"_0": "mask", "_1": "mask"}, ["mask", "mask"]),
        ([("box",), ("mask",)], {"_0": "none", "_1": "class"}, ["none", "class"]),
    ],
)
def test_the_type_of_an_image(
    images: list[tuple[str, ...]], said: dict[str, str], types: list[str] | None
) -> None:
    """A type is what the image says, else the weakest of what is drawn, else tags, else none."""
    assert types_of(labelled(*images, **said)) == types


@given(
    st.lists(st.sampled_from([UNSAID, NONE, CLASS, POINT, BOX, MASK]), min_size=1, max_size=6),
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([CLASS, POINT, BOX, MASK]), st.booleans())
    ),
)
def test_rules_hold_for_any_labels(declared: list[int], drawn: list[tuple[int, int, bool]]) -> None:
    """Said types stand; no drawn instance is lost unless a said type is stronger."""
    rows = [row for row in drawn if row[0] < len(declared)]
    owners, kinds = (np.array([row[k] for row in rows], np.int64) for k in (0, 1))
    crowds = np.array([row[2] for row in rows], bool)
    found = given_labels(np.array(declared, np.int8), owners, kinds.astype(np.int8), crowds)
    if found is None:
        assert set(declared) == {UNSAID}
        return
    for image, said in enumerate(declared):
        own = kinds[owners == image]
        kept = found.kept[owners == image]
        if said != UNSAID:
            assert found.types[image] == said
            assert np.array_equal(kept, (own >= said) & (said > NONE))
        else:
            assert kept[(own > CLASS) & ~crowds[owners == image]].all()
            assert found.types[image] in {NONE, CLASS, *own.tolist(), MASK}


def test_the_dataset_carries_what_was_given(tmp_path: Path) -> None:
    """Types, points, boxes and masks come through, each image with what its type says."""
    data = labelled(("mask", "mask"), ("box", "mask"), ("point", "box"), ("tag", "tag"), ())
    dataset = opened(tmp_path, data)
    assert dataset.types() == {"none": 1, "class": 1, "point": 1, "box": 1, "mask": 1}
    masks = dataset.instances(0).masks()
    assert masks.shape == (2, 30, 40)
    assert masks.any(axis=(1, 2)).all()
    assert dataset.instances(1).boxes.tolist() == [[2, 3, 12, 15], [2, 2, 19, 19]]
    assert not dataset.instances(1).masks().any()
    first, end = dataset.columns.first_annotation[2:4]
    assert dataset.columns.points[first:end].tolist() == [[5.5, 6.5], [7, 9]]
    assert dataset.instances(3).class_indices.tolist() == [0, 1]
    again = opened(tmp_path / "again", dataset.to_coco())
    assert again.fingerprint == dataset.fingerprint


def test_crowds_leave_and_come_back(tmp_path: Path) -> None:
    """A point or a tag of a crowd is one in the COCO file too."""
    data = labelled(("point", "point"), ("tag", "tag"))
    for each in data["annotations"][::2]:
        each["iscrowd"] = 1
    dataset = opened(tmp_path, data)
    again = opened(tmp_path / "again", dataset.to_coco())
    assert again.fingerprint == dataset.fingerprint


def test_an_ordinary_set_is_as_it_was(tmp_path: Path) -> None:
    """Masks throughout: no given labels, and nothing more in the columns."""
    dataset = opened(tmp_path, labelled(("mask",), ()))
    assert dataset.given is None
    assert "points" not in dataset.columns.arrays()


def test_cached_and_taken_sets_keep_their_labels(tmp_path: Path) -> None:
    """Through the cache and `take` the labels stay."""
    data = labelled(("mask",), ("box",), ("point",))
    (folder := tmp_path / "set").mkdir()
    whole = opened(folder, data)
    cached = [open_dataset(folder, "all", cache=tmp_path / "cache") for _ in range(2)]
    assert {each.fingerprint for each in cached} == {whole.fingerprint}
    assert cached[1].take(np.array([1, 2])).types() == {"point": 1, "box": 1}


def test_counts_come_from_what_can_be_counted(tmp_path: Path) -> None:
    """c and n are those of images with points, boxes or masks, and the statistics say how many."""
    data = labelled(("box", "box"), ("point",), ("tag",), ())
    stats = opened(tmp_path, data).stats()
    assert (stats.images, stats.measured_images) == (4, 2)
    assert (stats.classes_per_image, stats.instances_per_image) == (1.5, 1.5)
    assert stats_of_file(tmp_path / "instances.json").model_dump(exclude={"name", "source"}) == (
        stats.model_dump(exclude={"name", "source"})
    )
    (tmp_path / "instances.json").write_text(json.dumps(labelled(("tag",), _0="class")))
    with pytest.raises(InputError, match="no image whose instances can be counted"):
        stats_of_file(tmp_path / "instances.json")


def test_check_judges_by_type(tmp_path: Path) -> None:
    """Boxes, points and tags are no faults; labels that a rule leaves out are told."""
    data = labelled(("mask",), ("box",), ("point",), ("tag",), (), ("box", "tag"))
    opened(tmp_path, data)
    report = check(tmp_path, "all")
    assert report.types == {"none": 1, "class": 1, "point": 1, "box": 2, "mask": 1}
    assert [fault[:2] for fault in report.faults] == [("label left out", "annotation 51")]
    data["annotations"][1]["bbox"] = [2, 3, 60, 4]
    data["annotations"][2]["point"] = [90, 3]
    data["annotations"][0]["segmentation"] = [[1, 2]]
    opened(tmp_path, data)
    assert {fault[:2] for fault in check(tmp_path, "all").faults} == {
        ("degenerate polygon", "annotation 0"),
        ("mask without a pixel", "annotation 0"),
        ("box without an area", "annotation 0"),
        ("box outside its picture", "annotation 10"),
        ("point outside its picture", "annotation 20"),
        ("label left out", "annotation 51"),
    }


def test_an_unknown_type_is_refused() -> None:
    """A type that is none is one line, with the record."""
    with pytest.raises(InputError, match=r'images\[0\] \(id 0\): omnicost_type is "boxes"; use'):
        parse_coco(labelled(("box",), _0="boxes"))


def test_the_policy_of_given_labels(tmp_path: Path) -> None:
    """The assignment is the given one; another policy, or another type of an image, is refused."""
    dataset = opened(tmp_path, labelled(("mask",), ("box",), ("box",), ()))
    own = given_policy(dataset)
    assert str(own) == str(Policy.of({"none": 0.25, "box": 0.5, "mask": 0.25}))
    assert given_assignment(dataset, own).tolist() == [MASK, BOX, BOX, NONE]
    with pytest.raises(InputError, match="has given labels"):
        given_assignment(dataset, Policy.of({"box": 0.75, "mask": 0.25}))
    assert is_given(dataset, 1, AnnotationType.BOX)
    with pytest.raises(InputError, match="image id 1: has labels of type box, not point"):
        is_given(dataset, 1, AnnotationType.POINT)


def test_two_categories_of_one_name_are_one_class(tmp_path: Path) -> None:
    """check, stats and plan count the same K; the name of a parent that nobody uses is told."""
    data = labelled(("mask", "mask"))
    data["categories"] = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
        {"id": 2, "name": "cat", "supercategory": "animals"},
    ]
    dataset = opened(tmp_path, data)
    report = check(tmp_path, "all")
    assert dataset.class_names == ("animals", "cat")
    assert dataset.instances(0).class_indices.tolist() == [1, 1]
    assert report.statistics is not None
    assert report.statistics.classes == dataset.stats().classes == 2
    assert stats_of_file(tmp_path / "instances.json").classes == 2
    assert [fault[:2] for fault in report.faults] == [
        ("duplicate category name", "category 2"),
        ("unused parent category", "category 0"),
        ("mask drawn twice", "annotation 1"),
    ]


def test_an_area_that_is_the_boxs_is_told(tmp_path: Path) -> None:
    """Exports often write width times height: sizes small to large then go wrong."""
    data = labelled(("mask",))
    data["annotations"][0] |= {"bbox": [2, 2, 18, 18], "area": 324}
    opened(tmp_path, data)
    (fault,) = check(tmp_path, "all").faults
    assert fault[:2] == ("area is not the mask's", "annotation 0")


def test_damaged_and_sound_files_read_alike(tmp_path: Path) -> None:
    """The reader in pieces and the one for damaged files give the same columns."""
    data = labelled(("mask", "mask"), ("box",), ("point", "keypoint"), ())
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data, indent=1))
    one, other = read_coco(path), parse_coco(data, path)
    for name in ("image_ids", "annotation_ids", "boxes", "points", "areas", "types", "drawn"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert list(one.file_names) == list(other.file_names)


# --- weak labels


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from omnicost.data.tiny.disk import write_coco
    from omnicost.data.tiny.world import SPECS

    folder = tmp_path_factory.mktemp("world")
    write_coco(SPECS["tiny-coco"], folder, {"train": 20})
    return open_dataset(folder, "train")


NOISE = AnnotatorNoise(box_jitter=0.1, missed=0.2, wrong_tag=0.2, off_object_point=0.2)
MIXED = Policy.of({"none": 0.1, "class": 0.2, "point": 0.3, "box": 0.3, "mask": 0.1})


@pytest.mark.parametrize("noise", [PERFECT, NOISE])
def test_given_labels_are_what_a_cell_learns_from(world: Dataset, noise: AnnotatorNoise) -> None:
    """The labels of a cell, given as labels, are the weak labels and the split of the cell."""
    given_set = simulate_labels(world, MIXED, 3, noise)
    strengths = assign(world, MIXED, 3)
    assert str(given_policy(given_set)) == str(MIXED)
    np.testing.assert_array_equal(assign(given_set, given_policy(given_set), 8), strengths)
    for index, strength in enumerate(strengths.tolist()):
        kind = tuple(AnnotationType)[strength]
        if kind is AnnotationType.MASK:
            for ours, theirs in zip(
                given_set.instances(index), world.instances(index), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)
            continue
        ours = weak_label(given_set, index, kind, noise, 99)
        for one, other in zip(ours, weak_label(world, index, kind, noise, 3), strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="has labels of type"):
        weak_label(given_set, int(np.flatnonzero(strengths == BOX)[0]), AnnotationType.POINT)


@pytest.mark.parametrize("form", FORMS)
def test_labels_survive_the_tools(world: Dataset, form: str, tmp_path: Path) -> None:
    """Out as a tool's export, in again: the same classes, points, boxes and masks, bit for bit."""
    given_set = simulate_labels(world, MIXED, 3)
    path = write_export(tmp_path, given_set, form)
    photos = Photos(world.picture_folder)
    done = write_set(read_export(path), photos, tmp_path / "set", like(world))
    assert done.skipped == ()
    back = open_dataset(tmp_path / "set", "all")
    assert back.header == given_set.header._replace(size_bounds=back.size_bounds)
    np.testing.assert_array_equal(back.image_ids, given_set.image_ids)
    for index, strength in enumerate(given_set.given.tolist()):
        kind = tuple(AnnotationType)[strength]
        if kind is AnnotationType.MASK:
            np.testing.assert_array_equal(
                back.instances(index).masks(), given_set.instances(index).masks()
            )
            continue
        assert back.given[index] == strength
        ours, theirs = (weak_label(each, index, kind) for each in (back, given_set))
        np.testing.assert_array_equal(ours.class_indices, theirs.class_indices)
        for one, other in ((ours.points, theirs.points), (ours.boxes, theirs.boxes)):
            np.testing.assert_array_equal(one, other)
