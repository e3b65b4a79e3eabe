"""Labels find their photos, several annotators' labels become one."""

from __future__ import annotations

import json
from pathlib import Path

import label_exports as tools
import pytest
from label_exports import imported
from PIL import Image

from omnicost.data.imports.agree import agreed
from omnicost.data.imports.export import DrawnLabel
from omnicost.data.imports.label_studio import read_label_studio
from omnicost.data.imports.photos import Photos
from omnicost.labelling.annotators import Annotators


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tools.photos(tmp_path / "photos")


def test_several_annotators() -> None:
    """The last one's, everybody's, or what most of them drew alike."""
    task = tools.label_studio()[1]
    (first,) = task["annotations"]
    second = json.loads(json.dumps(first)) | {"id": 7, "updated_at": "2026-02-01T00:00:00Z"}
    second["result"] = [tools.region("cat", "box", "x"), tools.region("dog", "point", "y")]
    third = json.loads(json.dumps(first)) | {"id": 8, "was_cancelled": True}
    task["annotations"] = [second, first, third]
    for annotators, kinds in (
        (Annotators.LAST, ["box", "point"]),
        (Annotators.ALL, ["box", "box", "box", "point"]),
        (Annotators.AGREED, ["box"]),
    ):
        export = read_label_studio([task], annotators)
        assert [str(each.annotation) for each in export.images[0].drawn] == kinds
        assert [each.reason for each in export.skipped] == ["annotation that was cancelled"]


def test_agreement_needs_more_than_half() -> None:
    """Two of three, not one of two; classes and places must agree, not ids."""
    near, far = DrawnLabel("cat", point=(0.5, 0.5)), DrawnLabel("cat", point=(0.9, 0.5))
    again, other = DrawnLabel("cat", point=(0.53, 0.5)), DrawnLabel("dog", point=(0.5, 0.5))
    assert agreed([[near], [again, far], [other]]) == (again,)
    assert agreed([[near], [far]]) == ()
    assert agreed([[near, near], [again]]) == (again,)


def test_names_of_photos(tmp_path: Path) -> None:
    """Paths, addresses, upload prefixes, other endings; what fits two photos is told."""
    for name in (
        "x/one two.jpg",
        "x/same.png",
        "y/same.png",
        "top.png",
        "y/z/top.png",
        "y/deadbeef-odd.png",
        "z/b%20c.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    photos = Photos(tmp_path)
    for name, found in {
        "x/same.png": ["x/same.png"],
        "same.png": ["x/same.png", "y/same.png"],
        "top.png": ["top.png"],
        "/data/upload/3/0123abcd-top.png": ["top.png"],
        "labels/top": ["top.png"],
        "z/top.png": ["y/z/top.png"],
        "C:\\data\\y\\same.png": ["y/same.png"],
        "https://host/a/one%20two.jpg?token=1": ["x/one two.jpg"],
        "/data/upload/3/0123abcd-one_two.jpg": ["x/one two.jpg"],
        "/data/local-files/?d=y/same.png": ["y/same.png"],
        "labels/x/one two": ["x/one two.jpg"],
        "deadbeef-odd.png": ["y/deadbeef-odd.png"],
        "z/b%20c.png": ["z/b%20c.png"],
        "nothing.png": [],
        "http://[": [],
    }.items():
        assert photos.named(name) == found, name


def test_ambiguous_and_repeated_photos_are_told(tmp_path: Path, photos: Path) -> None:
    """A name that fits two photos is listed with both; a photo is labelled once."""
    (photos / "c").mkdir()
    (photos / "c" / "box.png").write_bytes((photos / "a/box.png").read_bytes())
    tasks = tools.label_studio()
    (tmp_path / "export.json").write_text(json.dumps([*tasks, tasks[0]]))
    done, _ = imported(tmp_path / "export.json", photos, tmp_path / "set")
    assert [tuple(each) for each in done.skipped] == [
        ("several photos of that name", "/data/upload/1/0123abcd-box.png: a/box.png, c/box.png"),
        ("photo labelled before in the export", "/data/upload/1/0123abcd-mask.png"),
    ]
