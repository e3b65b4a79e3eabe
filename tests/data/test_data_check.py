"""`omnicost data`: every fault with its id, the planner's numbers, drawn data sets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import ade20k, cityscapes, every_form, picture, uncompressed, write
from PIL import Image
from places import REAL
from typer.testing import CliRunner, Result

from omnicost.cli import app
from omnicost.data.check import Report, check
from omnicost.errors import InputError

Content = dict[str, Any]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def checked(folder: Path, change: Callable[[Content], object], **options: Any) -> Report:
    """The report on `every_form` after a change of its json; its pictures stay as they were."""
    content = every_form()
    write(folder, content)
    change(content)
    path = folder / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(content))
    return check(folder, "train", **options)


def add(section: str, **values: Any) -> Callable[[Content], object]:
    """Append a copy of the section's first record with other values."""
    return lambda content: content[section].append(content[section][0] | values)


def change(section: str, position: int = 0, **values: Any) -> Callable[[Content], object]:
    return lambda content: content[section][position].update(values)


def test_a_sound_set_has_no_fault(tmp_path: Path) -> None:
    """Counts leave the crowd out and name it; one of three images is empty."""
    report = checked(tmp_path, lambda content: None, decode=True)
    assert report.faults == ()
    assert report.statistics is not None
    assert (report.statistics.images, report.statistics.classes) == (3, 2)
    assert report.statistics.instances == 3
    assert (report.crowds, report.empty_images) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "kind", "item"),
    [
        (add("images", file_name="other.png"), "duplicate image id", "image 20"),
        (add("images", id="7"), "image without id", "images[3]"),
        (add("images", id=8), "duplicate file name", "image 8"),
        (add("images", id=8, file_name=""), "image without file name", "image 8"),
        (add("images", id=8, file_name="a", height=0), "image without size", "image 8"),
        (add("images", id=8, file_name="gone.png"), "missing picture", "image 8"),
        (add("categories", name="cat"), "duplicate category id", "category 90"),
        (add("categories", id=4), "duplicate category name", "category 4"),
        (add("categories", id=4, name=""), "category without name", "category 4"),
        (add("annotations"), "duplicate annotation id", "annotation 7"),
        (add("annotations", id=8), "mask drawn twice", "annotation 8"),
        (add("annotations", id=8, image_id=5), "unknown image", "annotation 8"),
        (add("annotations", id=8, category_id=5), "unknown category", "annotation 8"),
        (change("annotations", iscrowd=2), "faulty crowd flag", "annotation 7"),
        (change("annotations", bbox=[1, 2, -3, 4]), "faulty box", "annotation 7"),
        (change("annotations", bbox="1 2 3 4"), "faulty box", "annotation 7"),
        (change("annotations", area=-1), "faulty area", "annotation 7"),
        (change("annotations", segmentation=[]), "degenerate polygon", "annotation 7"),
        (change("annotations", segmentation=[[1, 1, 5, 5]]), "degenerate polygon", "annotation 7"),
        (change("annotations", segmentation=None), "unreadable mask", "annotation 7"),
        (change("annotations", segmentation=[[1, 1, 5, 5, 9]]), "unreadable mask", "annotation 7"),
        (change("annotations", bbox=[50, 30, 8, 8]), "box elsewhere than its mask", "annotation 7"),
        (change("annotations", bbox=[50, 30, 20, 8]), "box outside its picture", "annotation 7"),
        (change("annotations", bbox=[5, 5, 0, 8]), "box without an area", "annotation 7"),
        (
            change("annotations", segmentation=uncompressed(np.zeros((40, 60), bool))),
            "mask without a pixel",
            "annotation 7",
        ),
    ],
)
def test_every_fault_has_its_id(
    tmp_path: Path, fault: Callable[[Content], object], kind: str, item: str
) -> None:
    """Each kind of fault is found, under the id of the record that has it."""
    assert (kind, item) in {each[:2] for each in checked(tmp_path, fault).faults}


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    """One fault does not hide another; what is sound is still counted."""

    def many(content: Content) -> None:
        content["annotations"][0]["bbox"] = [1]
        content["annotations"][1]["category_id"] = 5
        content["images"][2]["height"] = None

    report = checked(tmp_path, many)
    assert {each.name for each in report.faults} == {
        "faulty box",
        "unknown category",
        "image without size",
    }
    assert report.statistics is not None
    assert (report.statistics.images, report.statistics.instances) == (2, 1)


@pytest.mark.parametrize("decode", [True, False])
def test_bad_pictures(tmp_path: Path, decode: bool) -> None:
    """A picture that is missing, no picture or of another size is found by its header alone."""
    folder = write(tmp_path, every_form())
    pictures = folder / "train2017" / "folder"
    (pictures / "4.png").unlink()
    (pictures / "20.png").write_bytes(b"no picture")
    picture(pictures / "31.png", 60, 40)
    found = check(folder, "train", decode=decode).faults
    assert [each.item for each in found] == ["image 4", "image 20", "image 31"]
    assert found[0].name == "missing picture"
    assert "40 x 60" in found[2].detail


def test_cut_off_pictures_are_found(tmp_path: Path) -> None:
    """A picture cut off in the middle has a sound header, but no end: found without `--decode`."""
    folder = write(tmp_path, every_form())
    path = folder / "train2017" / "folder" / "4.png"
    path.write_bytes(path.read_bytes()[:900])
    assert [each.item for each in check(folder, "train").faults] == ["image 4"]
    assert [each.item for each in check(folder, "train", decode=True).faults] == ["image 4"]


def test_turned_photos_are_no_fault(tmp_path: Path) -> None:
    """A size that fits only after, or only before, the EXIF rotation fits."""
    folder = write(tmp_path, every_form())
    exif = Image.Exif()
    exif[0x0112] = 8
    for name, size in (("4", (60, 40)), ("20", (40, 60))):
        Image.new("RGB", size).save(folder / "train2017" / "folder" / f"{name}.png", exif=exif)
    assert not check(folder, "train").faults
    assert not check(folder, "train", decode=True).faults


def test_maps_are_checked_one_by_one(tmp_path: Path) -> None:
    """A damaged map is a fault of its image, and the others are counted."""
    ade20k(tmp_path)
    base = tmp_path / "ADEChallengeData2016"
    (base / "annotations_instance" / "training" / "ADE_train_00000010.png").write_bytes(b"?")
    (base / "images" / "training" / "ADE_train_00000002.jpg").unlink()
    report = check(tmp_path, "train")
    assert [each[:2] for each in report.faults] == [
        ("faulty map", "image 10"),
        ("missing picture", "image 2"),
    ]
    assert report.statistics is not None
    assert report.statistics.images == 1


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    """A file of something else is one line."""
    path = tmp_path / "instances.json"
    for text, problem in (
        ("[]", "holds a list, not an object"),
        ("{}", "images is missing"),
        ("{", "not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=problem):
            check(path, "all")


def test_check_prints_and_exits(tmp_path: Path) -> None:
    """Exit code 0 and a table for a sound set; 1 and the faults by kind for another."""
    cityscapes(tmp_path / "sound")
    (tmp_path / "sound" / "gtFine" / "train").mkdir()
    done = run("check", tmp_path / "sound", "--split", "val")
    assert done.exit_code == 0
    assert "cityscapes" in done.stdout
    content = every_form()
    for n in range(12):
        content["annotations"].append(content["annotations"][0] | {"id": 100 + n})
    write(tmp_path / "faulty", content)
    done = run("check", tmp_path / "faulty")
    assert done.exit_code == 1
    assert "train: mask drawn twice, 12" in done.stdout
    assert "annotation 100:" in done.stdout
    assert "annotation 111:" not in done.stdout
    assert "and 2 more (--all)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "annotation 111:" in run("check", tmp_path / "faulty", "--all").stdout
    (report,) = json.loads(run("check", tmp_path / "faulty", "--json").stdout)
    assert len(report["faults"]) == 12
    assert report["statistics"]["images"] == 3


@pytest.mark.skipif(not (REAL / "coco").is_dir(), reason="real photos are not there")
def test_the_real_photos() -> None:
    """The 220 photos: 80 classes, c 3.46, n 8.24, 20 crowds, no fault."""
    done = run("check", REAL / "coco")
    assert done.exit_code == 0
    assert ["faults", "0", "0"] in [line.split() for line in done.stdout.splitlines()]
    done = run("stats", REAL / "coco", "--split", "train")
    assert [line.split()[-1] for line in done.stdout.splitlines()[2:]] == [
        "220", "masks", "220", "80", "3.46", "2.27", "8.24", "7.85", "0.66"
    ]  # fmt: skip
    (stats,) = json.loads(run("stats", REAL / "coco", "--split", "train", "--json").stdout)
    assert (stats["classes"], round(stats["instances_per_image"], 2)) == (80, 8.24)


def test_make_draws_a_set_that_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn set is whole and without fault; an existing folder is left alone."""
    from omnicost.data.tiny import disk

    monkeypatch.setitem(disk.SPLIT_SIZES, "tiny-cityscapes", {"train": 3, "val": 2})
    folder = tmp_path / "drawn"
    done = run("make", "tiny-cityscapes", folder)
    assert done.exit_code == 0, done.output
    assert "3 train, 2 val images" in done.stdout
    assert run("check", folder, "--decode").exit_code == 0
    again = run("make", "tiny-cityscapes", folder)
    assert isinstance(again.exception, InputError)
    assert "exists" in str(again.exception)
