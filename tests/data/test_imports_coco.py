"""COCO files come in with no more than they draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import label_exports as tools
import pytest
from label_exports import IMAGES, imported, reasons, saved

from omnicost.annotation import AnnotationType
from omnicost.data.imports.write import like_file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tools.photos(tmp_path / "photos")


def coco_file(folder: Path, **drawn: dict[str, Any] | None) -> Path:
    """A COCO file of photos, each with one annotation of the fields given, or with none."""
    names = {"a": "a/box.png", "b": "b/empty.png"}
    content = {
        "images": [
            {"id": n, "file_name": names[key], "height": 40, "width": 60}
            for n, key in enumerate(drawn, start=1)
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1} | fields
            for n, fields in enumerate(drawn.values(), start=1)
            if fields is not None
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


OUTLINED = {"segmentation": [[1, 1, 9, 1, 9, 9]]}


@pytest.mark.parametrize(
    ("drawn", "asked", "types"),
    [
        ({"a": {"bbox": [1, 1, 9, 9]}, "b": None}, {}, {"box": 2}),
        ({"a": OUTLINED, "b": None}, {}, {"mask": 2}),
        ({"a": OUTLINED, "b": None}, {"b/empty.png": "none"}, {"none": 1, "mask": 1}),
        ({"a": {}, "b": None}, {}, {"class": 2}),
        ({"a": None, "b": None}, {}, {"none": 2}),
        ({"a": None, "b": None}, {"b/empty.png": "box"}, {"none": 1, "box": 1}),
    ],
)
def test_coco_says_no_more_than_is_drawn(
    tmp_path: Path, photos: Path, drawn: Any, asked: dict[str, str], types: dict[str, int]
) -> None:
    """COCO files declare no types: the manifest does, else what is drawn, as in CVAT's XML."""
    given_out = {name: AnnotationType(each) for name, each in asked.items()}
    done, dataset = imported(
        coco_file(tmp_path, **drawn), photos, tmp_path / "set", asked=given_out, only_labelled=True
    )
    assert done.types == types
    assert dataset.types() == types


def test_an_image_without_objects_has_the_only_type(tmp_path: Path, photos: Path) -> None:
    """Where everybody drew boxes, an image in which nobody drew is one without boxes."""
    tasks = [each for n, each in enumerate(tools.label_studio()) if n in (1, 4)]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    done, _ = imported(tmp_path / "export.json", photos, tmp_path / "set", only_labelled=True)
    assert done.types == {"box": 2}


def test_ids_of_another_file_are_kept(tmp_path: Path, photos: Path) -> None:
    """`--like` keeps the order and ids of classes, and the ids of images."""
    names = [*IMAGES, "b/unseen.png"]
    like = {
        "images": [{"id": 70 - n, "file_name": name} for n, name in enumerate(names)],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "bird"}],
        "annotations": [],
    }
    (tmp_path / "like.json").write_text(json.dumps(like))
    done, dataset = imported(
        saved(tmp_path, "cvat"), photos, tmp_path / "set", like=like_file(tmp_path / "like.json")
    )
    assert dataset.header.category_ids == (4, 9)
    assert reasons(done) == ["class that is not in the list"]
    assert dataset.image_ids.tolist() == [65, 66, 67, 68, 69, 70]
