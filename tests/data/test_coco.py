"""The COCO-format reader and its statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import REAL

from omnicost.coco import CocoFile, decode, file, parse_coco, read_coco
from omnicost.coco.given import BOX
from omnicost.cost import stats_of_file

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


@st.composite
def coco_data(draw: st.DrawFn) -> dict:
    images = draw(st.lists(st.integers(-5, 10**12), min_size=1, max_size=8, unique=True))
    categories = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=5, unique=True))
    pair = st.tuples(st.sampled_from(images), st.sampled_from(categories), st.booleans())
    rows = draw(st.lists(pair, max_size=30))
    return {
        "images": [{"id": i, "height": 4, "width": 6, "file_name": f"{i}.jpg"} for i in images],
        "categories": [{"id": i, "name": f"class {i}"} for i in categories],
        "annotations": [
            {
                "id": index,
                "image_id": image,
                "category_id": category,
                "iscrowd": int(crowd),
                "bbox": [0, 1, 2, 3.5],
                "area": 7,
                "segmentation": SQUARE,
            }
            for index, (image, category, crowd) in enumerate(rows)
        ],
    }


@given(coco_data())
def test_statistics_equal_plain_counting(data: dict) -> None:
    """K, c, n and their spread are those of a loop over images: crowds out, empty images in."""
    plain = [
        [
            a["category_id"]
            for a in data["annotations"]
            if a["image_id"] == i["id"] and not a["iscrowd"]
        ]
        for i in data["images"]
    ]
    found = parse_coco(data).statistics()
    assert found.images == len(data["images"])
    assert found.classes == len(data["categories"])
    assert found.instances == sum(map(len, plain))
    assert found.instances_per_image == pytest.approx(np.mean([len(x) for x in plain]))
    assert found.classes_per_image == pytest.approx(np.mean([len(set(x)) for x in plain]))
    assert found.instances_sd == pytest.approx(np.std([len(x) for x in plain]))
    assert found.classes_sd == pytest.approx(np.std([len(set(x)) for x in plain]))
    assert -1.0001 <= found.correlation <= 1.0001


@given(coco_data())
def test_columns_are_the_file_in_order(data: dict) -> None:
    """Indices lead back to the ids of each record, in file order."""
    coco = parse_coco(data)
    assert coco.image_ids.tolist() == [image["id"] for image in data["images"]]
    assert coco.category_names == tuple(c["name"] for c in data["categories"])
    records = data["annotations"]
    assert coco.image_ids[coco.image_indices].tolist() == [a["image_id"] for a in records]
    assert coco.category_ids[coco.class_indices].tolist() == [a["category_id"] for a in records]
    assert coco.is_crowd.tolist() == [a["iscrowd"] == 1 for a in records]
    assert coco.boxes.shape == (len(records), 4)
    assert coco.segmentations == tuple(a["segmentation"] for a in records)


def small() -> dict:
    return {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7}],
    }


def test_optional_fields_may_be_left_out() -> None:
    """Sizes, names, areas, boxes, crowds and segmentations are optional for counting."""
    coco = parse_coco(small())
    assert coco.image_sizes.tolist() == [[0, 0], [0, 0]]
    assert list(coco.file_names) == ["", ""]
    assert np.isnan(coco.areas).all()
    assert np.isnan(coco.boxes).all()
    assert not coco.is_crowd.any()
    assert coco.segmentations == (None,)


def test_whole_floats_are_ids() -> None:
    """Ids that pandas wrote as 7.0 are read as 7, crowds written as true as crowds."""
    data = small()
    data["annotations"][0] |= {"category_id": 7.0, "iscrowd": True}
    coco = parse_coco(data)
    assert coco.category_ids.dtype == np.int64
    assert coco.is_crowd.tolist() == [True]


def test_file_without_annotations_counts_empty_images(tmp_path: Path) -> None:
    """Images without any annotation are images: n is 0, and only tags cost."""
    path = tmp_path / "empty.json"
    path.write_text(json.dumps(small() | {"annotations": []}))
    stats = stats_of_file(path)
    assert (stats.images, stats.instances_per_image) == (2, 0)


def test_segmentations_can_be_left_behind(tmp_path: Path) -> None:
    """Without segmentations, none are kept."""
    path = tmp_path / "some.json"
    path.write_text(json.dumps(small()))
    assert read_coco(path, segmentations=False).segmentations == ()


def test_an_empty_segmentation_is_none_however_it_is_spaced(tmp_path: Path) -> None:
    """Where nothing is drawn but a box, a file that is indented reads as one that is not."""
    data = small()
    data["annotations"] = [
        {"id": n, "image_id": 1, "category_id": 7, "bbox": [0, 0, 4, 4], "segmentation": empty}
        for n, empty in enumerate((None, [], [[]]))
    ]
    path = tmp_path / "some.json"
    for indent in (None, 0, 4, 8):
        path.write_text(json.dumps(data, indent=indent))
        assert read_coco(path).drawn.tolist() == [BOX] * 3


@pytest.mark.skipif(not REAL.exists(), reason="needs real data beside the checkout")
@pytest.mark.parametrize(
    ("name", "images", "classes", "instances", "crowds"),
    [
        ("coco/annotations/instances_train2017.json", 220, 80, 1813, 20),
        ("coco/annotations/instances_val2017.json", 50, 80, None, None),
        ("nuclei/instances.json", 40, 1, 1251, 0),
    ],
)
def test_real_files(
    name: str, images: int, classes: int, instances: int | None, crowds: int | None
) -> None:
    """Real COCO files give the counts that their README states."""
    coco: CocoFile = read_coco(REAL / name)
    found = coco.statistics()
    assert (found.images, found.classes) == (images, classes)
    if instances is not None:
        assert (found.instances, int(coco.is_crowd.sum())) == (instances, crowds)


def test_a_mapped_file_reads_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files too large to be held are mapped, and read the same in pieces."""
    data = small()
    data["annotations"] = [
        {"id": n, "image_id": 1, "category_id": 7, "segmentation": SQUARE} for n in range(9)
    ]
    path = tmp_path / "some.json"
    path.write_text(json.dumps(data))
    one = read_coco(path)
    monkeypatch.setattr(decode, "MAPPED_BYTES", 10)
    monkeypatch.setattr(decode, "CHUNK", 2)
    monkeypatch.setattr(file, "CHUNK", 2)
    other = read_coco(path)
    assert isinstance(other.segmentations, decode.Drawings)
    np.testing.assert_array_equal(one.annotation_ids, other.annotation_ids)
    drawn = [[decode.segmentation_of(each) for each in coco.segmentations] for coco in (one, other)]
    assert drawn == [[SQUARE] * 9] * 2
