"""A model folder and photos to predictions: resumable, exact, nothing lost."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from typer.testing import CliRunner

from omnicost.cli import app
from omnicost.data import open_dataset
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import write_set
from omnicost.data.tiny import world
from omnicost.errors import InputError, MissingError
from omnicost.models.students import student
from omnicost.models.students.settings import TINY_MASK2FORMER
from omnicost.project import predict
from omnicost.project.model_folder import (
    STUDENT,
    ModelDescription,
    read_description,
    write_description,
)

OPTIONS = predict.PredictOptions(least_score=0.0, batch_images=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a student that was not trained."""
    folder = tmp_path_factory.mktemp("model")
    student.save(folder / STUDENT, student.build(TINY_MASK2FORMER, 3, "tiny"))
    write_description(
        folder, ModelDescription(class_names=("car", "cat", "cup"), category_ids=(3, 17, 47))
    )
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten drawn pictures, one of them turned, in two folders."""
    for index in range(10):
        folder = tmp_path / "photos" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        scene = world.render(world.SPECS["tiny-coco"], "val", index)
        Image.fromarray(scene.image).save(folder / f"{index}.png")
    return tmp_path / "photos"


def predicted(model: Path, photos: Path, parts: Path) -> list[dict]:
    predict.predict_folder(model, predict.list_photos(photos), parts, OPTIONS)
    return list(predict.records(parts))


def test_every_photo_gets_its_line(model: Path, photos: Path, tmp_path: Path) -> None:
    """Images in order of name, annotations with the classes' own ids and masks of their size."""
    lines = predicted(model, photos, tmp_path / "parts")
    assert [line["image"]["file_name"] for line in lines] == sorted(
        f"{n % 2}/{n}.png" for n in range(10)
    )
    annotations = [each for line in lines for each in line["annotations"]]
    assert annotations
    assert {each["category_id"] for each in annotations} <= {3, 17, 47}
    assert all(each["segmentation"]["size"] == [64, 64] for each in annotations)


def test_a_stopped_run_goes_on(model: Path, photos: Path, tmp_path: Path) -> None:
    """Cut in the middle of a line, the file ends up as that of an undisturbed run."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    predicted(model, photos, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    counted: list[int] = []
    predict.predict_folder(
        model,
        predict.list_photos(photos),
        cut,
        OPTIONS,
        lambda done, total, figures: counted.append(done),
    )
    assert counted[0] > 2
    assert cut.read_bytes() == content


def test_another_model_begins_anew(model: Path, photos: Path, tmp_path: Path) -> None:
    """Lines of another model, setting or folder are never mixed in."""
    parts = tmp_path / "parts"
    before = predicted(model, photos, parts)
    (photos / "0" / "2.png").unlink()
    after = predicted(model, photos, parts)
    assert len(after) == len(before) - 1


def test_a_folder_named_as_a_number_is_one(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing can be a count."""
    monkeypatch.chdir(photos)
    assert len(predict.list_photos(Path("0"))) == 5


def test_other_ids_begin_anew(model: Path, photos: Path, tmp_path: Path) -> None:
    """Pictures or classes that were renumbered while a run was stopped: nothing is mixed."""
    own, parts = tmp_path / "model", tmp_path / "parts"
    shutil.copytree(model, own)
    listed = predict.list_photos(photos)
    predict.predict_folder(own, listed, parts, OPTIONS)
    listed = tuple(photo._replace(image_id=100 + photo.image_id) for photo in listed)
    predict.predict_folder(own, listed, parts, OPTIONS)
    assert {line["image"]["id"] for line in predict.records(parts)} == set(range(101, 111))
    told = read_description(own).model_copy(update={"category_ids": (4, 5, 6)})
    write_description(own, told)
    predict.predict_folder(own, listed, parts, OPTIONS)
    assert {each["category_id"] for each in predict.coco_annotations(parts)} <= {4, 5, 6}


def test_a_damaged_photo_is_told(model: Path, photos: Path, tmp_path: Path) -> None:
    """A picture that cannot be read is skipped with its reason; the others are predicted."""
    damaged = photos / "0" / "4.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    parts = tmp_path / "parts"
    predict.predict_folder(model, predict.list_photos(photos), parts, OPTIONS)
    images = [image for image, _ in predict.predicted(parts)]
    annotations = predict.coco_annotations(parts)
    done = predict.summary(parts)
    assert (done.pictures, len(images)) == (9, 9)
    assert len(done.skipped) == 1
    assert "4.png" in done.skipped[0]
    assert "damaged picture" in done.skipped[0]
    numbers = [each["id"] for each in annotations]
    assert numbers == list(range(1, done.instances + 1))


def test_what_is_no_file_is_told(model: Path, photos: Path, tmp_path: Path) -> None:
    """A link that leads nowhere and a pipe are one line each; a folder is no picture."""
    (photos / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "folder.png").mkdir()
    parts = tmp_path / "parts"
    predict.predict_folder(model, predict.list_photos(photos), parts, OPTIONS)
    done = predict.summary(parts)
    assert done.pictures == 10
    assert [line.partition(":")[0] for line in done.skipped] == ["gone.png", "pipe.png"]


def test_company_changes_nothing(model: Path, photos: Path, tmp_path: Path) -> None:
    """A photo's instances do not depend on the batch that it is in."""
    together = predicted(model, photos, tmp_path / "together")
    listed = predict.list_photos(photos)
    alone = tmp_path / "alone"
    predict.predict_folder(model, listed, alone, predict.PredictOptions(0.0, 1))
    for one, other in zip(together, predict.records(alone), strict=True):
        scores = [each["score"] for each in one["annotations"]]
        np.testing.assert_allclose(scores, [e["score"] for e in other["annotations"]], atol=2e-4)


def test_folders_that_hold_nothing(model: Path, tmp_path: Path) -> None:
    """A folder without pictures and one without a model are named."""
    with pytest.raises(InputError, match="no pictures in"):
        predict.list_photos(tmp_path)
    with pytest.raises(MissingError, match="omnicost train"):
        read_description(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"class_names": ["a"], "category_ids": []}))
    with pytest.raises(MissingError, match="differ in length"):
        read_description(tmp_path)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_verb_writes_coco(model: Path, photos: Path, tmp_path: Path) -> None:
    """A COCO file with scores that pycocotools reads; nothing else is left behind."""
    out = tmp_path / "out" / "predictions.json"
    told = run("predict", model, photos, "--out", out, "--least-score", 0)
    assert "in 10 pictures" in told
    read = COCO(str(out))
    assert len(read.getImgIds()) == 10
    assert {name["name"] for name in read.loadCats(read.getCatIds())} == {"car", "cat", "cup"}
    first = read.loadAnns(read.getAnnIds())[0]
    assert read.annToMask(first).shape == (64, 64)
    assert [path.name for path in out.parent.iterdir()] == ["predictions.json"]


def test_ids_come_from_the_users_file(model: Path, photos: Path, tmp_path: Path) -> None:
    """COCO's results list carries the ids of the file that was named, and refuses strangers."""
    names = sorted(f"{n % 2}/{n}.png" for n in range(10))
    images = [{"id": 100 + n, "file_name": name} for n, name in enumerate(names)]
    ids = tmp_path / "instances.json"
    ids.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    out = tmp_path / "results.json"
    arguments = ("predict", model, photos, "--ids", ids, "--format", "coco-results", "--out", out)
    run(*arguments, "--least-score", 0)
    results = json.loads(out.read_text())
    assert {each["image_id"] for each in results} <= set(range(100, 110))
    assert set(results[0]) == {"image_id", "category_id", "bbox", "segmentation", "score"}
    run(*arguments, "--least-score", 0)  # a file of ours is replaced
    ids.write_text(json.dumps({"images": images[1:], "annotations": [], "categories": []}))
    with pytest.raises(InputError, match=r"1 pictures of .* are not in it"):
        run(*arguments)


def test_tasks_to_correct(model: Path, photos: Path, tmp_path: Path) -> None:
    """Label Studio gets a task for every picture, masks as brush strokes, and its interface."""
    out = tmp_path / "tasks"
    prefix = "https://my.host/"
    form = ("--format", "label-studio", "--least-score", 0, "--image-prefix", prefix)
    run("predict", model, photos, *form, "--out", out)
    tasks = json.loads((out / "tasks-00001.json").read_text())
    assert len(tasks) == 10
    assert tasks[0]["data"]["image"] == "https://my.host/0/0.png"
    assert tasks[0]["data"]["file_name"] == "0/0.png"
    assert tasks[0]["predictions"][0]["result"][0]["type"] == "brushlabels"
    assert "car" in (out / "labelling_config.xml").read_text()


def test_what_the_user_had_stays(model: Path, photos: Path, tmp_path: Path) -> None:
    """Neither a stranger's file nor an input is replaced."""
    mine = tmp_path / "mine.json"
    mine.write_text("[1, 2, 3]")
    with pytest.raises(InputError, match="not written by omnicost"):
        run("predict", model, photos, "--out", mine)
    assert mine.read_text() == "[1, 2, 3]"


def test_cvat_takes_what_was_found(model: Path, photos: Path, tmp_path: Path) -> None:
    """CVAT's file imports whole: every picture, every mask in its class, pixel by pixel."""
    out = tmp_path / "annotations.xml"
    run("predict", model, photos, "--format", "cvat", "--least-score", 0, "--out", out)
    run("predict", model, photos, "--least-score", 0, "--out", tmp_path / "coco.json")
    done = write_set(read_export(out), Photos(photos), tmp_path / "set")
    assert done.skipped == ()
    back = open_dataset(tmp_path / "set", "all")
    assert len(back) == 10
    wanted = json.loads((tmp_path / "coco.json").read_text())
    names = {each["id"]: each["name"] for each in wanted["categories"]}
    for image in wanted["images"]:
        index = back.file_names.tolist().index(image["file_name"])
        masks = [each for each in wanted["annotations"] if each["image_id"] == image["id"]]
        found = back.instances(index)
        assert [back.class_names[n] for n in found.class_indices] == [
            names[each["category_id"]] for each in masks
        ]
        for rle, each in zip(found.rles, masks, strict=True):
            assert mask_api.iou([rle], [each["segmentation"]], [0])[0, 0] == 1


@pytest.mark.parametrize("name", ["labelling_config.xml", "tasks-00001.json", "tasks-00007.json"])
def test_a_strangers_task_stays(model: Path, photos: Path, tmp_path: Path, name: str) -> None:
    """Each file of a folder of tasks is asked for, before the first picture is read."""
    out = tmp_path / "tasks"
    out.mkdir()
    (out / name).write_text("[]")
    with pytest.raises(InputError, match="not written by omnicost"):
        run("predict", model, photos, "--format", "label-studio", "--out", out)
    assert (out / name).read_text() == "[]"
    assert len(list(out.iterdir())) == 1


@pytest.mark.parametrize("form", ["coco", "coco-results", "label-studio", "cvat"])
def test_a_picture_that_goes_is_told(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A picture that is gone or emptied when its turn comes is one line; the others are there."""
    listed = predict.list_photos

    def then_gone(*arguments: Any) -> tuple[predict.Photo, ...]:
        found = listed(*arguments)
        found[3].path.unlink()
        found[4].path.write_bytes(b"")
        return found

    monkeypatch.setattr(predict, "list_photos", then_gone)
    out = tmp_path / "out"
    told = json.loads(run("predict", model, photos, "--format", form, "--out", out, "--json"))
    assert told["pictures"] == 8
    assert [line.partition(":")[0] for line in told["skipped"]] == ["0/6.png", "0/8.png"]
    if form == "label-studio":
        assert len(json.loads((out / "tasks-00001.json").read_text())) == 8
    if form == "cvat":
        assert out.read_text().count("<image ") == 8
