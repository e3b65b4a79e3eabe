"""Given labels leave and come back; files of others are kept."""

import json
from pathlib import Path

import label_exports
import numpy as np
import pytest
from data_samples import every_form, write
from typer.testing import CliRunner

from omnicost.cli import app
from omnicost.data import open_dataset
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import write_set
from omnicost.errors import InputError


@pytest.mark.parametrize("form", ["coco", "cvat", "label-studio"])
def test_given_labels_leave_and_come_back(tmp_path: Path, form: str) -> None:
    """A set with every type goes out in each tool's form and comes back the same."""
    photos = label_exports.photos(tmp_path / "photos")
    (tmp_path / "in.xml").write_text(label_exports.cvat())
    write_set(read_export(tmp_path / "in.xml"), Photos(photos), tmp_path / "set")
    out = tmp_path / ("tasks" if form == "label-studio" else f"out.{form[:2]}")
    arguments = [str(tmp_path / "set"), "--split", "all", "--format", form, "--out", str(out)]
    done = CliRunner().invoke(app, ["export", *arguments])
    assert done.exit_code == 0, done.output
    if form == "label-studio":
        (path,) = out.glob("tasks-*.json")
        tasks = json.loads(path.read_text())
        for each in tasks:  # what annotators do: submit what was suggested
            each["annotations"] = [{"id": 1, "result": each["predictions"][0]["result"]}]
        out = tmp_path / "submitted.json"
        out.write_text(json.dumps(tasks))
    if form == "coco":
        out = out.rename(tmp_path / "out.json")
    if form == "cvat":
        out = out.rename(tmp_path / "out.xml")
    first = open_dataset(tmp_path / "set", "all")
    imported = write_set(read_export(out), Photos(photos), tmp_path / "again")
    second = open_dataset(tmp_path / "again", "all")
    assert imported.skipped == ()
    assert second.types() == first.types()
    for name in ("image_ids", "class_indices", "given", "rle_bytes", "file_names"):
        np.testing.assert_array_equal(getattr(second.columns, name), getattr(first.columns, name))
    np.testing.assert_allclose(second.columns.boxes, first.columns.boxes, atol=1e-2)
    np.testing.assert_allclose(second.columns.points, first.columns.points, atol=1e-2)


def test_a_strangers_file_is_kept(tmp_path: Path) -> None:
    """Export replaces its own files only, and never the set it reads."""
    folder = write(tmp_path / "data", every_form())
    out = tmp_path / "out.json"
    arguments = ["export", str(folder), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, arguments).exit_code == 0, "our own is replaced"
    out.write_text("mine")
    assert "was not written by omnicost" in str(CliRunner().invoke(app, arguments).exception)
    assert out.read_text() == "mine"
    assert CliRunner().invoke(app, [*arguments, "--force"]).exit_code == 0
    given = folder / "annotations" / "instances_train2017.json"
    done = CliRunner().invoke(app, ["export", str(given), "--split", "all", "--out", str(given)])
    assert "is an input of this command" in str(done.exception)


@pytest.mark.parametrize("verb", ["imported", "written"])
def test_labels_of_people_are_kept(tmp_path: Path, verb: str) -> None:
    """An imported set, one of 0.3 too, is replaced with --force only, as input or not."""
    photos = label_exports.photos(tmp_path / "photos")
    (tmp_path / "in.xml").write_text(label_exports.cvat())
    write_set(read_export(tmp_path / "in.xml"), Photos(photos), tmp_path / "set")
    own = tmp_path / "set" / "instances.json"
    own.write_text(own.read_text().replace("imported by", f"{verb} by", 1))
    other = tmp_path / "other.json"
    other.write_text(own.read_text())
    arguments = ["export", str(tmp_path / "set"), "--split", "all", "--out"]
    done = CliRunner().invoke(app, [*arguments, str(own)])
    assert "is an input of this command" in str(done.exception)
    done = CliRunner().invoke(app, [*arguments, str(other)])
    assert "was not written by omnicost" in str(done.exception)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("label-studio", "labelling_config.xml"),
        ("label-studio", "tasks-00001.json"),
        ("yolo", "data.yaml"),
        ("yolo", "labels/a.txt"),
    ],
)
def test_a_strangers_file_in_a_folder_is_kept(tmp_path: Path, form: str, name: str) -> None:
    """Forms of several files ask for each; a folder of our own is written again."""
    folder = write(tmp_path / "data", every_form())
    arguments = ["export", str(folder), "--split", "train", "--format", form, "--out"]
    for _ in range(2):
        assert CliRunner().invoke(app, [*arguments, str(tmp_path / "ours")]).exit_code == 0
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("<View>mine</View>")
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "mine")])
    assert isinstance(done.exception, InputError)
    assert "not written by omnicost" in str(done.exception)
    assert mine.read_text() == "<View>mine</View>"
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [mine]
