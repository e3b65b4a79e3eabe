"""Manifests: who gets what, files that labelling tools take, and nothing of anybody's lost."""

import csv
import json
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import RECORDED
from type_axis import by_type

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.labelling import assign, read_images, write_manifest
from omnicost.labelling.images import picture_size, read_categories
from omnicost.labelling.in_hand import manifest_types
from omnicost.labelling.label_studio import address, interface
from omnicost.labelling.manifest import INDEX
from omnicost.plain_text import plain_cell

MASK = AnnotationType.MASK.strength


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)
    return folder


def coco_file(path: Path, count: int = 6) -> Path:
    records = [
        {"id": 10 + i, "file_name": f'a "{i}".jpg', "width": 4, "height": 3, "license": 2}
        for i in range(count)
    ]
    path.write_text(json.dumps({"images": records, "categories": [{"id": 7, "name": "cat"}]}))
    return path


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# --- assignment


@given(
    st.lists(st.integers(0, 30), min_size=len(AnnotationType), max_size=len(AnnotationType)).filter(
        any
    ),
    st.integers(0, 3),
)
def test_assignment_has_the_plan_s_numbers(images: list[int], seed: int) -> None:
    """Every type gets as many images as planned."""
    assigned = assign(np.array(images), seed)
    assert np.bincount(assigned, minlength=len(AnnotationType)).tolist() == images


def test_assignment_is_seeded_and_nested() -> None:
    """The masks of a small plan stay masks in a larger one; another seed picks others."""
    small = assign(by_type(0, 0, 0, 990, 10))
    large = assign(by_type(0, 0, 400, 500, 100))
    assert (large[small == MASK] == MASK).all()
    assert (assign(by_type(0, 0, 0, 990, 10)) == small).all()
    assert (assign(by_type(0, 0, 0, 990, 10), seed=1) != small).any()


# --- what is written


def test_manifest_of_a_coco_file(tmp_path: Path) -> None:
    """All files agree with the assignment; records and categories are the user's own."""
    source = coco_file(tmp_path / "images.json")
    images, folder = read_images(str(source)), tmp_path / "out"
    written = write_manifest(folder, images, assign(by_type(1, 0, 0, 3, 2)), "s3://bucket/")
    assert {path.name for path in written.files} == {
        "manifest.csv", "HOW_TO_IMPORT.txt", "coco_none.json",
        *(f"{stem}_{kind}.{end}" for kind in ("box", "mask")
          for stem, end in [("coco", "json"), ("label_studio", "json"), ("label_studio", "xml"),
                            ("cvat", "json")]),
    }  # fmt: skip
    records = read_json(source)["images"]
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == [record["file_name"] for record in records]
    boxed = {int(row["image_id"]) for row in rows if row["annotation_type"] == "box"}
    listed = read_json(folder / "coco_box.json")
    assert {image["id"] for image in listed["images"]} == boxed
    assert listed["categories"] == [{"id": 7, "name": "cat"}]
    assert all(image in records for image in listed["images"])
    tasks = read_json(folder / "label_studio_box.json")
    assert {task["data"]["image_id"] for task in tasks} == boxed
    assert {unquote(task["data"]["image"]) for task in tasks} == {
        f"s3://bucket/{record['file_name']}" for record in records if record["id"] in boxed
    }


def test_a_folder_s_lists_have_sizes_and_own_categories(tmp_path: Path) -> None:
    """Sizes come from the pictures as a viewer turns them, categories from the annotation file."""
    folder = pictures(tmp_path / "photos", "a.png", "sub/b.jpg")
    turned = Image.new("RGB", (8, 6))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    (folder / "torn.jpg").write_bytes(b"\xff\xd8")
    images = read_images(str(folder))
    images = images.with_categories(read_categories(coco_file(tmp_path / "own.json")))
    written = write_manifest(tmp_path / "out", images, assign(by_type(0, 0, 0, 4, 0)))
    listed = read_json(tmp_path / "out" / "coco_box.json")
    sizes = {one["file_name"]: (one.get("width"), one.get("height")) for one in listed["images"]}
    assert sizes == {
        "a.png": (8, 6), "sub/b.jpg": (8, 6), "turned.jpg": (6, 8), "torn.jpg": (None, None)
    }  # fmt: skip
    assert written.unreadable == ("torn.jpg",)
    assert listed["categories"] == [{"id": 7, "name": "cat"}]
    assert picture_size(tmp_path / "nowhere.jpg") is None


def test_a_count_has_places_for_ids_and_no_tasks(tmp_path: Path) -> None:
    """Without names there is nothing to open in a labelling tool, and the page says so."""
    write_manifest(tmp_path, read_images("3"), assign(by_type(0, 0, 0, 3, 0)))
    assert (tmp_path / "manifest.csv").read_text().splitlines()[:2] == [
        "image_id,annotation_type", "1,box"
    ]  # fmt: skip
    assert not list(tmp_path.glob("label_studio*"))
    assert "given as a count" in (tmp_path / "HOW_TO_IMPORT.txt").read_text()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", '-\n"', "'", "'="])
def test_names_are_no_formulas_in_the_csv(tmp_path: Path, start: str) -> None:
    """A spreadsheet must not run a file name; tasks and lists keep the exact one."""
    name = f"{start}cmd|' /C calc'!A0.jpg"
    assert plain_cell(name) == f"'{name}"
    source = tmp_path / "images.json"
    source.write_text(json.dumps({"images": [{"id": 1, "file_name": name}]}))
    write_manifest(
        tmp_path, read_images(str(source)), np.array([AnnotationType.BOX.strength], dtype=np.int8)
    )
    with (tmp_path / "manifest.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file_name"] == f"'{name}"
    assert manifest_types(tmp_path / "manifest.csv") == {name: AnnotationType.BOX}
    assert read_json(tmp_path / "label_studio_box.json")[0]["data"]["file_name"] == name


def test_names_that_are_not_text_are_written_all_the_same(tmp_path: Path) -> None:
    """A name in another encoding (bytes on disk) goes percent-encoded and escaped, not down."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "caf\udce9.jpg").write_bytes(b"")
    written = write_manifest(
        tmp_path / "out", read_images(str(folder)), np.array([AnnotationType.BOX.strength], np.int8)
    )
    tasks = read_json(tmp_path / "out" / "label_studio_box.json")
    assert tasks[0]["data"]["image"] == "caf%E9.jpg"
    assert written.unreadable


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_addresses_give_every_name_back(name: str) -> None:
    """As a path of a URL and as the value of Label Studio's local-files query."""
    assert unquote(urlsplit(address(name, "https://host/photos/")).path) == f"/photos/{name}"
    query = urlsplit(address(name, "/data/local-files/?d=photos/")).query
    assert parse_qs(query)["d"] == [f"photos/{name}"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])), max_size=4))
def test_interfaces_are_xml_with_every_class(names: list[str]) -> None:
    """Whatever classes are called; with none there is one label to replace."""
    for kind in AnnotationType:
        if kind is not AnnotationType.NONE:
            root = ET.fromstring(interface(kind, names))
            for control in list(root)[1:]:
                assert [label.get("value") for label in control] == (names or ["object"])


def test_cvat_tasks_are_what_its_sdk_takes(tmp_path: Path) -> None:
    """Shares get names, web addresses are encoded, labels say the shape, names that repeat once."""
    source = tmp_path / "images.json"
    twice = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}, {"id": 3}]
    records = [{"id": 1, "file_name": "a b.jpg"}]
    source.write_text(json.dumps({"images": records, "categories": twice}))
    images, one = read_images(str(source)), np.array([AnnotationType.MASK.strength], dtype=np.int8)
    write_manifest(tmp_path / "share", images, one)
    made = read_json(tmp_path / "share" / "cvat_mask.json")
    assert made["resources"] == ["a b.jpg"]
    assert made["resource_type"] == "share"
    assert made["spec"]["labels"] == [{"name": "cat", "type": "polygon", "attributes": []}]
    write_manifest(tmp_path / "web", images, one, "https://host/")
    made = read_json(tmp_path / "web" / "cvat_mask.json")
    assert (made["resources"], made["resource_type"]) == (["https://host/a%20b.jpg"], "remote")


@pytest.mark.parametrize("kind", ["class", "point", "box", "mask"])
def test_label_studio_s_own_export_has_what_the_tasks_had(kind: str) -> None:
    """Recorded from the real program: ids and names come back, controls are the interface's."""
    controls = {one.get("name") for one in ET.fromstring(interface(AnnotationType(kind), ["x"]))}
    for task in read_json(RECORDED / f"label_studio_{kind}.json"):
        data = task["data"]
        assert data["image"] == address(data["file_name"], "/data/local-files/?d=pix/")
        assert data["annotation_type"] == kind
        for result in task["annotations"][0]["result"]:
            assert result["from_name"] in controls


# --- what is kept


def test_a_second_manifest_replaces_an_untouched_one(tmp_path: Path) -> None:
    """It leaves no list of the first behind, and other files alone."""
    (tmp_path / "notes.txt").write_text("mine")
    images = read_images("4")
    write_manifest(tmp_path, images, assign(by_type(0, 0, 0, 4, 0)))
    write_manifest(tmp_path, images, assign(by_type(0, 0, 4, 0, 0)))
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.txt", "manifest.csv", "coco_point.json", "HOW_TO_IMPORT.txt", INDEX,
    }  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_filled_in_list_is_never_touched(tmp_path: Path) -> None:
    """Boxes that an annotator put into a list stay, whether its type is used again or not."""
    images = read_images(str(coco_file(tmp_path / "images.json")))
    out = tmp_path / "out"
    write_manifest(out, images, assign(by_type(0, 0, 0, 6, 0)))
    filled = read_json(out / "coco_box.json")
    filled["annotations"] = [{"id": 1, "image_id": 10, "category_id": 7, "bbox": [0, 0, 2, 2]}]
    (out / "coco_box.json").write_text(json.dumps(filled))
    before = snapshot(out)
    for again in (by_type(0, 0, 0, 5, 1), by_type(0, 0, 6, 0, 0)):
        with pytest.raises(InputError, match=r"coco_box\.json: .*filled in"):
            write_manifest(out, images, assign(np.array(again)))
        assert snapshot(out) == before


@pytest.mark.parametrize("name", ["manifest.csv", "coco_box.json", "label_studio_box.xml", INDEX])
def test_somebody_else_s_file_is_never_touched(tmp_path: Path, name: str) -> None:
    """A file of the same name that omnicost did not write is refused by name."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    images = read_images(str(coco_file(tmp_path / "images.json")))
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        write_manifest(tmp_path / "out", images, assign(by_type(0, 0, 0, 6, 0)))
    assert snapshot(tmp_path / "out") == {name: b"mine"}


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    """A list of an untouched manifest may be planned from, but not into the same folder."""
    images = read_images(str(coco_file(tmp_path / "images.json")))
    write_manifest(tmp_path, images, assign(by_type(0, 0, 0, 6, 0)))
    source = tmp_path / "coco_box.json"
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="input of this command"):
        write_manifest(
            tmp_path, read_images(str(source)), assign(by_type(0, 0, 6, 0, 0)), inputs=[source]
        )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("stop", range(12))
def test_killed_at_any_rename_it_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Half of a new manifest beside half of an old one is still known as omnicost's own."""
    import omnicost.labelling.manifest as module

    images = read_images(str(coco_file(tmp_path / "images.json")))
    out = tmp_path / "out"
    write_manifest(out, images, assign(by_type(0, 0, 0, 6, 0)))
    real, left = module.os.replace, [stop]

    def killed(source: Path, target: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "replace", killed)
        with suppress(KeyboardInterrupt):
            write_manifest(out, images, assign(by_type(0, 0, 0, 3, 3)))
    write_manifest(out, images, assign(by_type(0, 0, 6, 0, 0)))
    assert read_json(out / "coco_point.json")["images"]
    assert not (out / "coco_mask.json").exists()


# --- the images


def test_images_from_a_folder(tmp_path: Path) -> None:
    """Pictures are found in subfolders, in the order of their names; other files are not."""
    (tmp_path / "b").mkdir()
    for name in ("b/2.PNG", "1.jpg", "readme.txt"):
        (tmp_path / name).write_bytes(b"")
    assert read_images(str(tmp_path)).names == ["1.jpg", "b/2.PNG"]


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"images": []}', '{"images": [{"id": 1}]}', '{"images": [{"file_name": "a"}]}',
     '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}', "not json", ""],
)  # fmt: skip
def test_bad_image_lists_are_refused(tmp_path: Path, content: str) -> None:
    """Each fault of an image list is one line that names the file."""
    path = tmp_path / "images.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"images\.json"):
        read_images(str(path))


@pytest.mark.parametrize(
    "text", ["0", "000", "no/such/folder", "-3", "1.5", "", "²", "10000000000000", "9" * 400]
)
def test_bad_image_counts_are_refused(text: str) -> None:
    """What is no count, folder or file is refused."""
    with pytest.raises(InputError, match=r"images|pictures"):
        read_images(text)


def test_a_folder_that_looks_like_a_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos in a folder named 2024 are not taken for 2,024 images without a word."""
    monkeypatch.chdir(tmp_path)
    Path("2024").mkdir()
    Path("2024", "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"write \./2024 for the folder"):
        read_images("2024")
    assert list(read_images("./2024").names or ()) == ["a.jpg"]
    assert read_images("02024").count == 2024
