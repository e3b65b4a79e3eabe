"""Published layouts and COCO-format files: what is read is what was written."""

import json
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from data_samples import (
    ade20k,
    cityscapes,
    compressed,
    every_form,
    picture,
    uncompressed,
    write,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from places import REAL
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from omnicost.cost.stats import stats_of_file
from omnicost.data import Dataset, SizeBounds, open_dataset
from omnicost.data.rle import encode, run_lengths, to_rle
from omnicost.errors import InputError
from omnicost.published import PUBLISHED

real = pytest.mark.skipif(not (REAL / "coco").is_dir(), reason="real photos are not there")


def average_precision(dataset: Dataset) -> float:
    """COCO AP of the ground truth scored as detections, crowds left out of them."""
    truth = dataset.to_coco()
    found = [
        {key: each[key] for key in ("image_id", "category_id", "segmentation", "bbox")}
        | {"score": 0.5}
        for each in truth["annotations"]
        if not each["iscrowd"]
    ]
    ground_truth = hotcoco.COCO(truth)
    evaluation = hotcoco.COCOeval(ground_truth, ground_truth.load_res(found), "segm")
    evaluation.params.max_dets = [1, 10, 1000]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    return float(precision[precision > -1].mean())


# --- COCO-format files


def test_every_form_of_mask(tmp_path: Path) -> None:
    """Polygons, both RLEs and crowds give pycocotools' masks, with classes by category id."""
    content = every_form()
    dataset = open_dataset(write(tmp_path, content), "train")
    reference = COCO(tmp_path / "annotations" / "instances_train2017.json")
    assert dataset.class_names == ("car", "toothbrush")
    assert dataset.image_ids.tolist() == [4, 20, 31]
    for index, image_id in enumerate(dataset.image_ids.tolist()):
        wanted = sorted(reference.loadAnns(reference.getAnnIds(image_id)), key=lambda a: a["id"])
        found = dataset.instances(index, crowds=True)
        assert found.annotation_ids.tolist() == [each["id"] for each in wanted]
        categories = dataset.category_ids[found.class_indices].tolist()
        assert categories == [each["category_id"] for each in wanted]
        assert found.masks().shape == (len(wanted), 40, 60)
        for mask, each in zip(found.masks(), wanted, strict=True):
            np.testing.assert_array_equal(mask, reference.annToMask(each))
    assert dataset.instances(1).annotation_ids.tolist() == [5, 7]
    assert dataset.instances(1, crowds=True).is_crowd.tolist() == [False, False, True]
    assert not dataset.instances(2).rles


def test_boxes_are_corners_and_areas_the_files(tmp_path: Path) -> None:
    """`bbox` becomes x0 y0 x1 y1; where a file leaves box and area out, the mask gives them."""
    content = every_form()
    first, second = content["annotations"][:2]
    first |= {"bbox": [1.5, 2, 10, 20], "area": 77.5}
    del second["bbox"], second["area"]
    found = open_dataset(write(tmp_path, content), "train").instances(1)
    np.testing.assert_array_equal(found.boxes[1], [1.5, 2, 11.5, 22])
    assert found.areas[1] == 77.5
    mask = found.masks()[0]
    rows, columns = np.nonzero(mask)
    tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_array_equal(found.boxes[0], tight)
    assert found.areas[0] == mask.sum()


@given(arrays(bool, st.tuples(*[st.integers(1, size) for size in (4, 12, 12)])))
def test_codes_are_pycocotools_own(by_row: np.ndarray) -> None:
    """To the byte, whether rows or columns of the masks lie together."""
    columns_first = np.asfortranarray(by_row.transpose(1, 2, 0), np.uint8)
    by_column = np.ascontiguousarray(by_row.transpose(0, 2, 1)).transpose(0, 2, 1)
    expected = mask_api.encode(columns_first)
    assert encode(by_row) == encode(by_column) == expected
    assert encode(by_row[:0]) == []


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_are_those_of_coco(mask: np.ndarray) -> None:
    """Decoding compressed counts gives the runs that encoding was given, and both forms agree."""
    runs = uncompressed(mask)["counts"]
    text = compressed(mask)["counts"]
    assert run_lengths(text.encode()).tolist() == runs
    assert to_rle(uncompressed(mask), *mask.shape) == to_rle(compressed(mask), *mask.shape)


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        (None, "neither polygons nor RLE"),
        ("a polygon", "neither polygons nor RLE"),
        ([[1, 2, 3]], "not a list of x, y pairs"),
        ([5, 5, 9, 9], "not a list of x, y pairs"),
        ([[1, 2, 3, "4", 5, 6]], "not a finite number"),
        ([[1, 2, 3, float("nan"), 5, 6]], "not a finite number"),
        ({"size": [40, 60]}, "neither a list of integers nor a string"),
        ({"size": [40, 60], "counts": [5, 5]}, "do not add to 40 x 60"),
        ({"size": [40, 60], "counts": [2500, -100]}, "do not add to 40 x 60"),
        ({"size": [60, 40], "counts": [2400]}, "is not the picture's"),
        ({"size": [40, 60], "counts": "0"}, "do not add to 40 x 60"),
        ({"size": [40, 60], "counts": "Ph31o"}, "ends within a number"),
        ({"size": [40, 60], "counts": "P h31"}, "outside its alphabet"),
    ],
)
def test_a_faulty_mask_names_its_annotation(
    tmp_path: Path, segmentation: Any, problem: str
) -> None:
    """A mask that cannot be read is one line with the file, the annotation and the fault."""
    content = every_form()
    content["annotations"][0]["segmentation"] = segmentation
    with pytest.raises(
        InputError, match=rf"instances_train2017.json: annotation id 7: .*{problem}"
    ):
        open_dataset(write(tmp_path, content), "train")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [("file_name", "", "image id 20: has no file_name"), ("height", 0, "has no height and width")],
)
def test_pictures_need_a_name_and_a_size(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    """An image entry without name or size is named."""
    content = every_form()
    folder = write(tmp_path, content)
    content["images"][0][key] = value
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=problem):
        open_dataset(folder, "train")


def test_size_bounds_travel_in_the_file(tmp_path: Path) -> None:
    """COCO's bounds hold unless `info.size_bounds` says otherwise; nonsense there is refused."""
    assert open_dataset(write(tmp_path / "a", every_form()), "train").size_bounds == (1024, 9216)
    own = every_form() | {"info": {"size_bounds": [100, 250]}}
    dataset = open_dataset(write(tmp_path / "b", own), "train", cache=tmp_path)
    assert dataset.size_bounds == SizeBounds(100, 250)
    for wrong in ([250, 100], [1], "ab", [0, 5]):
        content = every_form() | {"info": {"size_bounds": wrong}}
        with pytest.raises(InputError, match=r"info\.size_bounds"):
            open_dataset(write(tmp_path / "c", content), "train")


def test_order_in_the_file_does_not_matter(tmp_path: Path) -> None:
    """Images, annotations and categories shuffled give the same data set."""
    content, shuffled = every_form(), every_form()
    for section in ("images", "annotations", "categories"):
        shuffled[section].reverse()
    one = open_dataset(write(tmp_path / "a", content), "train")
    other = open_dataset(write(tmp_path / "b", shuffled), "train")
    assert one.fingerprint == other.fingerprint


# --- pictures


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A photo stored on its side is turned, unless the annotations were drawn on it as stored."""
    content = every_form()
    folder = write(tmp_path, content)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    stored = np.random.default_rng(0).integers(0, 256, (60, 40, 3)).astype(np.uint8)
    path = folder / "train2017" / "folder" / "4.png"
    Image.fromarray(stored).save(path, exif=exif)
    np.testing.assert_array_equal(
        open_dataset(folder, "train").image(0), np.rot90(stored, -1), "turned"
    )
    stored = stored.reshape(40, 60, 3)
    Image.fromarray(stored).save(path, exif=exif)
    np.testing.assert_array_equal(open_dataset(folder, "train").image(0), stored, "as stored")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    """Grey, palette, alpha, one-bit, CMYK and 16-bit pictures are (H, W, 3) uint8 RGB."""
    folder = write(tmp_path, every_form())
    grey = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    path = folder / "train2017" / "folder" / "4.png"
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(grey).convert(mode).save(path, "TIFF" if mode == "CMYK" else "PNG")
    image = open_dataset(folder, "train").image(0)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    if mode in ("L", "RGBA", "LA", "I;16"):
        np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(b"not a picture"), "damaged picture"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "damaged picture"),
        (lambda path: path.unlink(), "no such picture"),
        (lambda path: picture(path, 41, 60), "is 60 x 41 pixels, its annotations say 60 x 40"),
    ],
)
def test_a_bad_picture_is_one_line_with_its_id(tmp_path: Path, damage: Any, problem: str) -> None:
    """Missing, cut off or of another size: one line with the path, the image id and the remedy."""
    folder = write(tmp_path, every_form())
    damage(folder / "train2017" / "folder" / "4.png")
    with pytest.raises(InputError, match=rf"4.png \(image id 4\): .*{problem}") as caught:
        open_dataset(folder, "train").image(0)
    assert "\n" not in str(caught.value)


# --- ADE20K and Cityscapes


def test_ade20k(tmp_path: Path) -> None:
    """Red is the class from 1, green the instance; both instances of one class are apart."""
    maps = ade20k(tmp_path)
    dataset = open_dataset(tmp_path, "train")
    assert dataset.name == "ade20k"
    assert len(dataset.class_names) == 100
    assert dataset.class_names[0] == "bed"
    assert dataset.category_ids[-1] == 149
    assert dataset.image_ids.tolist() == [2, 10]
    for index, content in enumerate(maps):
        found = dataset.instances(index)
        pairs = sorted({(r, g) for r, g in content.reshape(-1, 3)[:, :2].tolist() if g})
        assert (found.class_indices + 1).tolist() == [red for red, _ in pairs]
        for mask, (red, green) in zip(found.masks(), pairs, strict=True):
            np.testing.assert_array_equal(
                mask, (content[..., 0] == red) & (content[..., 1] == green)
            )
        assert dataset.image(index).shape == content.shape
    assert average_precision(dataset) == 1.0


def test_cityscapes(tmp_path: Path) -> None:
    """Values over 1000 are instances, the classes' own values crowds; trailers are ignored."""
    maps = cityscapes(tmp_path)
    dataset = open_dataset(tmp_path, "val")
    assert dataset.class_names == tuple(PUBLISHED["cityscapes"].categories.values())
    for index, content in enumerate(maps):
        found = dataset.instances(index, crowds=True)
        values = [
            value
            for value in np.unique(content).tolist()
            if (value // 1000 if value >= 1000 else value) in PUBLISHED["cityscapes"].categories
        ]
        assert found.is_crowd.tolist() == [value < 1000 for value in values]
        labels = dataset.category_ids[found.class_indices].tolist()
        assert labels == [value // 1000 if value >= 1000 else value for value in values]
        for mask, value in zip(found.masks(), values, strict=True):
            np.testing.assert_array_equal(mask, content == value)
        np.testing.assert_array_equal(found.areas, found.masks().sum(axis=(1, 2)))
    assert found.is_crowd.any()
    assert average_precision(dataset) == 1.0


def test_class_lists_are_those_of_the_benchmarks() -> None:
    """100 ADE20K things with the sparse ids of Mask2Former's json, 8 Cityscapes things."""
    assert len(PUBLISHED["ade20k"].categories) == 100
    assert PUBLISHED["ade20k"].categories[143] == "monitor"
    assert list(PUBLISHED["ade20k"].categories) == sorted(PUBLISHED["ade20k"].categories)
    assert len(PUBLISHED["cityscapes"].categories) == 8


def test_a_faulty_map_is_one_line(tmp_path: Path) -> None:
    """A map of the wrong mode, or with a class over 100, names the file."""
    ade20k(tmp_path)
    path = tmp_path / "ADEChallengeData2016/annotations_instance/training/ADE_train_00000010.png"
    wrong = np.full((30, 40, 3), 101, np.uint8)
    Image.fromarray(wrong).save(path)
    with pytest.raises(InputError, match=r"00000010.png \(image id 10\).*class 101"):
        open_dataset(tmp_path, "train")
    Image.fromarray(wrong[..., 0]).save(path)
    with pytest.raises(InputError, match="mode L, expected RGB"):
        open_dataset(tmp_path, "train")


# --- real and drawn data


@real
@pytest.mark.parametrize(("split", "images"), [("train", 220), ("val", 50)])
def test_real_photos(split: str, images: int) -> None:
    """COCO's own polygons and crowds give pycocotools' masks; ground truth scores AP 1."""
    dataset = open_dataset(REAL / "coco", split)
    assert len(dataset) == images
    reference = COCO(REAL / "coco" / "annotations" / f"instances_{split}2017.json")
    for index in range(0, images, 7):
        found = dataset.instances(index, crowds=True)
        masks = found.masks()
        assert dataset.image(index).shape[:2] == masks.shape[1:]
        for n, annotation_id in enumerate(found.annotation_ids.tolist()):
            each = reference.anns[annotation_id]
            np.testing.assert_array_equal(masks[n], reference.annToMask(each))
            assert found.areas[n] == each["area"]
            assert bool(each["iscrowd"]) == found.is_crowd[n]
    assert average_precision(dataset) == 1.0


@real
def test_what_the_planner_reads_of_the_real_photos() -> None:
    """K, c, n of the 220 photos are 80, 3.46 and 8.24, the same as of the file itself."""
    stats = open_dataset(REAL / "coco", "train").stats()
    assert stats.classes == 80
    assert round(stats.classes_per_image, 2) == 3.46
    assert round(stats.instances_per_image, 2) == 8.24
    counted = stats_of_file(REAL / "coco/annotations/instances_train2017.json", "coco")
    assert stats.model_dump(exclude={"source"}) == counted.model_dump(exclude={"source"})


@pytest.mark.skipif(not (REAL / "nuclei").is_dir(), reason="the nuclei are not there")
def test_ones_own_data_in_one_file() -> None:
    """instances.json beside images/: a fifth of the images, always the same, is held out."""
    parts = {split: open_dataset(REAL / "nuclei", split) for split in ("all", "train", "val")}
    ids = {split: set(each.image_ids.tolist()) for split, each in parts.items()}
    assert ids["train"] | ids["val"] == ids["all"]
    assert not ids["train"] & ids["val"]
    assert parts["all"].class_names == ("nucleus",)
    assert sum(len(parts["all"].instances(n).rles) for n in range(40)) == 1251
    assert average_precision(parts["all"]) == 1.0
    assert average_precision(parts["val"]) == 1.0


def test_drawn_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A split of a tiny set is drawn under the named folder once, with its own size bounds."""
    from omnicost.data.tiny import disk
    from omnicost.data.tiny.world import SPECS

    monkeypatch.setitem(disk.SPLIT_SIZES, "tiny-coco", {"train": 12, "val": 5})
    train, val = (open_dataset("tiny-coco", split, root=tmp_path) for split in ("train", "val"))
    assert (len(train), len(val)) == (12, 5)
    assert train.name == "tiny-coco"
    assert train.size_bounds == tuple(SPECS["tiny-coco"].size_bounds)
    assert average_precision(train) == 1.0
    assert train.image(3).shape == (64, 64, 3)
    drawn = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    open_dataset("tiny-coco", "train", root=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == drawn


def test_first_pictures_of_a_drawn_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`train-N` is the first N pictures of `train`; more than there are is refused."""
    from omnicost.data.tiny import disk

    monkeypatch.setitem(disk.SPLIT_SIZES, "tiny-coco", {"train": 6, "val": 5})
    whole, first = (open_dataset("tiny-coco", s, root=tmp_path) for s in ("train", "train-4"))
    assert (len(whole), len(first)) == (6, 4)
    assert first.fingerprint != whole.fingerprint
    for index in range(4):
        assert np.array_equal(first.image(index), whole.image(index))
        assert np.array_equal(first.instances(index).masks(), whole.instances(index).masks())
    for wrong in ("train-7", "train-0", "train-x", "train--1", "few"):
        with pytest.raises(InputError, match=r"tiny-coco: has no split .*train-N for the first"):
            open_dataset("tiny-coco", wrong, root=tmp_path)
