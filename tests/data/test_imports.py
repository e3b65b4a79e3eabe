"""Exports of labelling tools come in whole, or every part that does not is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import label_exports as tools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_exports import BOX, BOX2, IMAGES, MASK, POINT, by_name, imported, reasons, saved
from PIL import Image
from places import REAL, RECORDED
from typer.testing import CliRunner

from omnicost.annotation import AnnotationType
from omnicost.cli import app
from omnicost.data import open_dataset
from omnicost.data.check import check
from omnicost.data.imports.export import Export
from omnicost.data.imports.label_studio import read_label_studio
from omnicost.data.readers.layouts import splits_in
from omnicost.errors import InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tools.photos(tmp_path / "photos")


@pytest.mark.parametrize("tool", ["label-studio", "cvat", "labelme"])
def test_every_type_comes_in(tmp_path: Path, photos: Path, tool: str) -> None:
    """Masks, outlines, boxes, points and tags are what was drawn, to the pixel."""
    done, dataset = imported(saved(tmp_path, tool), photos, tmp_path / "set")
    assert done.form == tool
    assert done.types == {"none": 2, "class": 1, "point": 1, "box": 1, "mask": 1}
    assert done.instances == {"mask": 2, "box": 2, "point": 1, "class": 2}
    assert done.skipped == ()
    assert dataset.class_names == ("cat", "dog")
    place = by_name(dataset)
    masks = dataset.instances(place["a/mask.png"]).masks()
    np.testing.assert_array_equal(masks[0], MASK)
    assert masks[1].sum() == pytest.approx(600, rel=0.05)  # a triangle of 40 x 30
    np.testing.assert_allclose(dataset.instances(place["a/box.png"]).boxes, [BOX, BOX2], atol=1e-3)
    first = dataset.columns.first_annotation[place["b/point.png"]]
    np.testing.assert_allclose(dataset.columns.points[first], POINT, atol=1e-3)
    assert dataset.instances(place["b/tag.png"]).class_indices.tolist() == [0, 1]
    assert dataset.image(place["a/box.png"]).shape == (40, 60, 3)
    assert check(tmp_path / "set", "all").faults == ()


def test_yolo_folders(tmp_path: Path, photos: Path) -> None:
    """Boxes and outlines by number; a file without a line is an image looked at."""
    folder = tools.yolo(tmp_path / "yolo")
    with (folder / "labels/a/box.txt").open("a") as file:
        file.write("7 0.5 0.5 0.1 0.1\n0 0.5 0.5\ncat 0 0 1 1\n0 nan 0.5 0.2 0.2\n")
    done, dataset = imported(folder, photos, tmp_path / "set")
    assert done.types == {"none": 4, "box": 1, "mask": 1}
    assert reasons(done) == [
        "class number without a name",
        "coordinate that is not a finite number",
        "line of neither a box nor an outline",
        "line that is not numbers",
    ]
    boxes = dataset.instances(by_name(dataset)["a/box.png"]).boxes
    np.testing.assert_allclose(boxes, [BOX, BOX2], atol=1e-3)


def test_boxes_of_yolo_poses(tmp_path: Path, photos: Path) -> None:
    """Lines with keypoints are boxes, and what is left out of them is told."""
    folder = tools.yolo(tmp_path / "yolo")
    with (folder / "data.yaml").open("a") as file:
        file.write("kpt_shape: [3, 2]\n")
    path = folder / "labels" / "a" / "box.txt"
    path.write_text(path.read_text().replace("\n", " 0.1 0.2 0.3 0.4 0.5 0.6\n"))
    (folder / "labels" / "b" / "point.txt").unlink()
    done, dataset = imported(folder, photos, tmp_path / "set", only_labelled=True)
    assert done.types == {"box": 2}
    assert reasons(done) == ["keypoints, only their box taken"]
    boxes = dataset.instances(by_name(dataset)["a/box.png"]).boxes
    np.testing.assert_allclose(boxes, [BOX, BOX2], atol=1e-3)


def test_roboflows_layout_and_a_set_of_ours(tmp_path: Path, photos: Path) -> None:
    """`_annotations.coco.json` beside the pictures; importing a set again changes no label."""
    _, dataset = imported(saved(tmp_path, "cvat"), photos, tmp_path / "set")
    train = tmp_path / "robo" / "train"
    tools.photos(train)
    (train / "_annotations.coco.json").write_text((tmp_path / "set/instances.json").read_text())
    done, again = imported(tmp_path / "robo", train, tmp_path / "again")
    assert done.form == "coco"
    assert done.skipped == ()
    assert again.columns_digest == dataset.columns_digest
    (tmp_path / "robo" / "train").rename(tmp_path / "robo" / "valid")
    opened = open_dataset(tmp_path / "robo", "val")
    assert opened.columns_digest == dataset.columns_digest
    assert splits_in(tmp_path / "robo") == ("val",)
    assert check(tmp_path / "robo", "val").faults == ()


def test_what_is_asked_for_is_the_type(tmp_path: Path, photos: Path) -> None:
    """A task of a manifest says its type: an image without objects has it too."""
    types = dict.fromkeys(IMAGES, "box") | {"a/mask.png": "mask", "b/tag.png": "class"}
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tools.label_studio(types)))
    done, dataset = imported(path, photos, tmp_path / "set")
    assert done.types == {"none": 1, "class": 1, "box": 3, "mask": 1}
    assert len(dataset.instances(by_name(dataset)["b/empty.png"]).annotation_ids) == 0


def test_a_manifest_says_what_was_asked_for(tmp_path: Path, photos: Path) -> None:
    """Tools that say no type: a plan's manifest does, of the photos that the export has."""
    export = saved(tmp_path, "cvat")
    asked = dict.fromkeys(IMAGES, AnnotationType.BOX) | {
        "a/mask.png": AnnotationType.MASK,
        "b/tag.png": AnnotationType.CLASS,
        "b/unseen.png": AnnotationType.POINT,
    }
    done, dataset = imported(export, photos, tmp_path / "set", asked=asked)
    assert done.types == {"none": 1, "class": 1, "box": 3, "mask": 1}
    assert len(dataset.instances(by_name(dataset)["b/empty.png"]).annotation_ids) == 0
    with pytest.raises(InputError, match="manifest: names none of the photos"):
        imported(export, photos, tmp_path / "other", asked={"elsewhere.png": AnnotationType.BOX})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["value"].update(rotation=30), "rotated box, an upright one drawn around it"),
        (lambda r: r.update(image_rotation=90), "region on a picture turned in the tool"),
        (lambda r: r["value"].update(rectanglelabels=[]), "region without a label"),
        (lambda r: r["value"].update(x="left"), "region that cannot be read"),
        (lambda r: r["value"].update(x=float("nan")), "coordinate that is not a finite number"),
        (lambda r: r["value"].update(width=0), "box without an area in its picture"),
        (lambda r: r["value"].update(rectanglelabels=["cat", "dog"]),
         "region of several labels, the first taken"),
        (lambda r: r.update(type="ellipse"), "region of type ellipse, which is not read"),
        (lambda r: r.update(value=None), "region of type rectanglelabels, which is not read"),
        (lambda r: r.update(original_width=61), "photo of another size than was labelled"),
    ],
)  # fmt: skip
def test_nothing_is_dropped_in_silence(
    tmp_path: Path, photos: Path, change: Any, reason: str
) -> None:
    """Each record that is left out or changed is told with its reason and where it is."""
    tasks = tools.label_studio()
    for each in tasks[1]["annotations"][0]["result"]:
        change(each)
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    done, _ = imported(tmp_path / "export.json", photos, tmp_path / "set")
    assert reasons(done) == [reason]
    assert all(each.item for each in done.skipped)


def test_a_rotated_box_is_drawn_around(tmp_path: Path, photos: Path) -> None:
    """20 x 10 at (30, 10), turned by 90 degrees around that corner, spans 20..30, 10..30."""
    turned = tools.region("cat", "box", "r")
    turned["value"] |= {"x": 50, "y": 25, "width": 20 / 60 * 100, "height": 25, "rotation": 90}
    tasks = tools.label_studio()
    tasks[1]["annotations"][0]["result"] = [turned]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    _, dataset = imported(tmp_path / "export.json", photos, tmp_path / "set")
    boxes = dataset.instances(by_name(dataset)["a/box.png"]).boxes
    np.testing.assert_allclose(boxes, [[20, 10, 30, 30]], atol=1e-3)


def test_cvat_groups_and_odd_shapes(tmp_path: Path, photos: Path) -> None:
    """Polygons of one group are one instance; polylines, open polygons, bad masks are told."""
    polygon = '<polygon label="cat" group_id="1" points="{}"/>'
    shapes = (
        polygon.format("1,1;9,1;9,9")
        + polygon.format("20,1;29,1;29,9")
        + polygon.format("1,1;2,2")
        + '<polyline label="cat" points="1,1;2,2"/><points label="cat" points="1,1;2,2"/>'
        + '<polygon label="cat"/><mask label="cat" left="0" top="0" width="3" height="3"/>'
        + '<mask label="cat" rle="0,9" left="58" top="0" width="3" height="3"/>'
        + '<mask label="cat" rle="0,99" left="0" top="0" width="3" height="3"/>'
        + '<box label="cat" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
    )
    (tmp_path / "a.xml").write_text(
        f'<annotations><image id="0" name="a/box.png" width="60" height="40">{shapes}</image>'
        "</annotations>"
    )
    done, dataset = imported(tmp_path / "a.xml", photos, tmp_path / "set")
    assert reasons(done) == [
        "mask that cannot be read",
        "polygon of fewer than three corners",
        "rotated box, an upright one drawn around it",
        "several points as one",
        "shape of type polyline, which is not read",
        "shape that cannot be read",
    ]
    found = dataset.instances(by_name(dataset)["a/box.png"])
    np.testing.assert_allclose(found.boxes[1], [15, 5, 25, 25], atol=1e-3)
    assert len(found.boxes) == 2


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.xml", "<annotations>", "is not XML"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares a document type"),
        ("a.json", '{"a": 1}', "is no export that is known"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[]", "no photo has a label"),
        ("a.zip", "PK", "is packed; unpack it"),
        ("folder/x.txt", "", "holds no export that is known"),
        ("folder/data.yaml", "names: 3", "is no list of names"),
        ("folder/data.yaml", "names: {1: cat}", "is no list of names"),
    ],
)
def test_what_is_no_export_is_one_line(
    tmp_path: Path, photos: Path, name: str, text: str, problem: str
) -> None:
    """Bad input names the file and the remedy."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        imported(path if path.parent == tmp_path else path.parent, photos, tmp_path / "set")


def test_an_existing_folder_is_left_alone(tmp_path: Path, photos: Path) -> None:
    """Import never writes into a folder that is there."""
    with pytest.raises(InputError, match="exists; name a new folder"):
        imported(saved(tmp_path, "cvat"), photos, photos)


def test_the_verb_says_what_it_did(tmp_path: Path, photos: Path) -> None:
    """A line on the set, a line on the labels, and every skipped record with its reason."""
    export = saved(tmp_path, "label-studio")
    arguments = ["data", "import", str(export), "--images", str(photos), "--out"]
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "one"), "--only-labelled"])
    assert done.exit_code == 0, done.output
    assert "5 images from label-studio: none 1, class 1, point 1, box 1, mask 1" in done.output
    (photos / "b/tag.png").unlink()
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "two"), "--json"])
    payload = json.loads(done.output)
    assert payload["skipped"] == [
        {"reason": "no photo of that name", "item": "/data/upload/1/0123abcd-tag.png"}
    ]


@pytest.mark.skipif(not (REAL / "timing").is_dir(), reason="real logs are not there")
def test_a_real_export(tmp_path: Path) -> None:
    """106 tasks and 126 boxes of a real project come in whole."""
    path = REAL / "timing" / "label_studio_export_boxes.json"
    for task in json.loads(path.read_text()):
        name = task["data"]["image"].rpartition("/")[2].partition("-")[2]
        region = task["annotations"][0]["result"][0]
        size = (region["original_width"], region["original_height"])
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("1", size).save(tmp_path / "photos" / f"{name}.png")
        (tmp_path / "photos" / f"{name}.png").rename(tmp_path / "photos" / name)
    done, dataset = imported(path, tmp_path / "photos", tmp_path / "set")
    assert (done.types, done.instances, done.skipped) == ({"box": 106}, {"box": 126}, ())
    assert dataset.stats().instances_per_image == pytest.approx(126 / 106)


def test_what_a_real_label_studio_gave_back(tmp_path: Path, photos: Path) -> None:
    """Exports that Label Studio 1.23.2 gave of a manifest's tasks come in whole, every type, under
    names with spaces, `#`, `?`, `%`, `+`, `&` and a leading `=`."""
    tasks = [
        task
        for kind in ("class", "point", "box", "mask")
        for task in json.loads((RECORDED / f"label_studio_{kind}.json").read_text())
    ]
    for task in tasks:
        drawn = task["annotations"][0]["result"][0]
        size = (drawn.get("original_width", 60), drawn.get("original_height", 40))
        Image.new("RGB", size).save(photos / task["data"]["file_name"])
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    done, dataset = imported(tmp_path / "export.json", photos, tmp_path / "set", only_labelled=True)
    assert done.skipped == ()
    assert done.types == {"class": 2, "point": 3, "box": 3, "mask": 3}
    regions = [each for task in tasks for each in task["annotations"][0]["result"]]
    drawn = Counter(each["type"].removesuffix("labels") for each in regions)
    assert done.instances["box"] == drawn["rectangle"]
    assert done.instances["point"] == drawn["keypoint"]
    assert done.instances["mask"] == drawn["polygon"] + drawn["brush"]
    assert set(dataset.file_names) == {task["data"]["file_name"] for task in tasks}
    assert check(tmp_path / "set", "all").faults == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "data", "image", "annotations", "result", "value", "type", "rle",
                         "x", "points", "choices", "taxonomy", "original_width"]),
        inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON, max_size=3))
def test_any_json_is_read_or_told(tasks: list[Any]) -> None:
    """Whatever stands in an export, reading it ends with images and reasons, never a traceback."""
    export = read_label_studio(tasks)
    assert isinstance(export, Export)
    assert len(export.images) + len(export.skipped) >= len(tasks)
