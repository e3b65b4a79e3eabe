"""Opening a data set: its cache, its fingerprint, what is shared and what is missing."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import (
    compressed,
    ellipse,
    every_form,
    write,
)

from omnicost.data import open_dataset
from omnicost.errors import InputError, MissingError


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    """Without a cache a data set is opened in memory; with one it is the same data set."""
    folder = write(tmp_path / "data", every_form())
    before = sorted(tmp_path.rglob("*"))
    plain = open_dataset(folder, "train")
    assert sorted(tmp_path.rglob("*")) == before
    cached = open_dataset(folder, "train", cache=tmp_path / "cache")
    again = open_dataset(folder, "train", cache=tmp_path / "cache")
    assert len({each.fingerprint for each in (plain, cached, again)}) == 1
    for index in range(3):
        one, other = plain.instances(index, True), again.instances(index, True)
        assert one.rles == other.rles
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_the_cache_follows_the_content(tmp_path: Path) -> None:
    """A changed file is converted anew, an unchanged one is not read again."""
    folder = write(tmp_path / "data", every_form())
    calls: list[int] = []

    def count(done: int, total: int, figures: dict[str, object]) -> None:
        calls.append(done)

    one = open_dataset(folder, "train", cache=tmp_path / "c", progress=count)
    assert calls
    calls.clear()
    open_dataset(folder, "train", cache=tmp_path / "c", progress=count)
    assert not calls
    content = every_form()
    content["annotations"][0]["iscrowd"] = 1
    changed = open_dataset(write(folder, content), "train", cache=tmp_path / "c")
    assert changed.fingerprint != one.fingerprint


def test_any_name_for_ones_own_folder(tmp_path: Path) -> None:
    """A set at `root` goes by the name that its owner gives it, and is otherwise the same."""
    folder = write(tmp_path / "data", every_form())
    named = open_dataset("mine", "train", root=folder)
    assert named.name == "mine"
    assert named.image_ids.tolist() == open_dataset(folder, "train").image_ids.tolist()


def test_a_cache_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """A cache in a place that is a file, and one that lost a column, name the folder."""
    folder = write(tmp_path / "data", every_form())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written \(.*; name a place"):
        open_dataset(folder, "train", cache=tmp_path / "file")
    open_dataset(folder, "train", cache=tmp_path / "cache")
    next((tmp_path / "cache" / "columns").glob("*/boxes.npy")).unlink()
    with pytest.raises(InputError, match=r"damaged cache \(.*delete that folder"):
        open_dataset(folder, "train", cache=tmp_path / "cache")


def _open_in_worker(arguments: tuple[Path, Path]) -> str:
    folder, cache = arguments
    return open_dataset(folder, "train", cache=cache).fingerprint


def test_many_may_open_at_once(tmp_path: Path) -> None:
    """Processes that convert the same set at the same time leave one whole cache."""
    folder = write(tmp_path / "data", every_form())
    with ProcessPoolExecutor(4) as pool:
        found = set(pool.map(_open_in_worker, [(folder, tmp_path / "cache")] * 8))
    assert len(found) == 1
    assert len(list((tmp_path / "cache" / "columns").iterdir())) == 1


def test_pickles_hold_the_path_and_not_the_columns(tmp_path: Path) -> None:
    """A worker gets a small pickle and maps the same files."""
    import pickle

    content = every_form()
    content["images"] += [
        {"id": n, "file_name": f"{n}.png", "height": 9, "width": 9} for n in range(100, 3000)
    ]
    folder = tmp_path / "data"
    (folder / "train2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    dataset = open_dataset(folder, "train", cache=tmp_path / "cache")
    dumped = pickle.dumps(dataset)
    assert len(dumped) < 4000
    copy = pickle.loads(dumped)
    assert copy.fingerprint == dataset.fingerprint
    assert isinstance(copy.columns.image_ids.base, np.memmap)
    assert pickle.loads(pickle.dumps(open_dataset(folder, "train"))).fingerprint == copy.fingerprint


def test_the_fingerprint_covers_what_stages_see(tmp_path: Path) -> None:
    """Masks, class names, size bounds, file names and pictures count; the place does not."""
    base = open_dataset(write(tmp_path / "a", every_form()), "train").fingerprint
    assert open_dataset(write(tmp_path / "elsewhere", every_form()), "train").fingerprint == base
    disc = compressed(ellipse(40, 60, 12, 15, 8, 9.5))
    changes: list[Any] = [
        lambda c: c["annotations"][1].update(segmentation=disc),
        lambda c: c["annotations"][0].update(bbox=[0, 0, 5, 5]),
        lambda c: c["categories"][0].update(name="brush"),
        lambda c: c["images"][2].update(file_name="other.png"),
        lambda c: c.update(info={"size_bounds": [1, 2]}),
    ]
    prints = {base}
    for n, change in enumerate(changes):
        content = every_form()
        change(content)
        prints.add(open_dataset(write(tmp_path / str(n), content), "train").fingerprint)
    (tmp_path / "a" / "train2017" / "folder" / "4.png").write_bytes(b"less")
    prints.add(open_dataset(tmp_path / "a", "train").fingerprint)
    assert len(prints) == len(changes) + 2


def test_some_images(tmp_path: Path) -> None:
    """`take` keeps the instances of the images taken, and is another data set."""
    dataset = open_dataset(write(tmp_path, every_form()), "train")
    some = dataset.take(np.array([2, 1]))
    assert some.image_ids.tolist() == [20, 31]
    assert some.instances(0, True).rles == dataset.instances(1, True).rles
    assert some.fingerprint != dataset.fingerprint
    assert some.index_of(31) == 1
    with pytest.raises(InputError, match="no image id 4"):
        some.index_of(4)


def test_missing_data_says_what_to_put_where(tmp_path: Path) -> None:
    """Every way of not being there is one line that names the folder and the remedy."""
    cases: list[tuple[Any, str, dict[str, Any], str]] = [
        (tmp_path / "no", "train", {}, "no: no such folder or file"),
        (tmp_path, "train", {}, r"holds no known data set with a split 'train'; put there"),
        ("coco", "train", {}, "not downloaded by omnicost"),
        ("tiny-coco", "train", {}, "no folder is named; give root or cache"),
        ("tiny-lvis", "train", {"root": tmp_path}, "no such tiny data set; use tiny-coco"),
    ]
    for name, split, options, problem in cases:
        with pytest.raises(InputError, match=problem) as caught:
            open_dataset(name, split, **options)
        assert "\n" not in str(caught.value)
    write(tmp_path / "coco", every_form())
    with pytest.raises(MissingError, match="split 'val'"):
        open_dataset(tmp_path / "coco", "val")
    (tmp_path / "coco" / "train2017").rename(tmp_path / "coco" / "photos")
    with pytest.raises(MissingError, match=r"train2017: no such folder; put the pictures of"):
        open_dataset(tmp_path / "coco", "train")


def test_unpacked_half(tmp_path: Path) -> None:
    """ADE20K without its instance maps and Cityscapes without its pictures say which file it is."""
    (tmp_path / "a" / "ADEChallengeData2016" / "images" / "training").mkdir(parents=True)
    with pytest.raises(MissingError, match=r"unpack annotations_instance.tar"):
        open_dataset("ade20k", "train", root=tmp_path / "a")
    (tmp_path / "c" / "gtFine" / "train").mkdir(parents=True)
    with pytest.raises(MissingError, match=r"leftImg8bit.*unpack leftImg8bit_trainvaltest.zip"):
        open_dataset("cityscapes", "train", root=tmp_path / "c")
