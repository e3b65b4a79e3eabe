"""README's "After the plan" on real photos: from an annotation tool's export to the next plan."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from given_sets import write_export
from places import REAL
from pycocotools.coco import COCO
from simulated_labels import simulate_labels

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import open_dataset

PHOTOS = REAL / "coco"
IMAGES = {"mask": 20, "box": 60, "point": 100, "class": 20, "none": 20}


def omnicost(*arguments: object) -> str:
    command = [sys.executable, "-m", "omnicost", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.exists(), reason="the real photos are not here")
@pytest.mark.parametrize("form", ["label-studio", "cvat"])
def test_the_walk(form: str, tmp_path: Path) -> None:
    """220 photos of every type become a model, predictions, a review and a plan; none is lost."""
    train = open_dataset(PHOTOS, "train")
    policy = Policy.of({kind: count / len(train) for kind, count in IMAGES.items()})
    labels = simulate_labels(train, policy)
    export = write_export(tmp_path, labels, form)
    labelled, model = tmp_path / "labelled", tmp_path / "model"
    manifest = tmp_path / "manifest.csv"
    assert labels.given is not None
    kinds = [list(AnnotationType)[strength] for strength in labels.given]
    given = [f"{name},{kind}" for name, kind in zip(train.file_names, kinds, strict=True)]
    manifest.write_text("\n".join(["file_name,annotation_type", *given]))

    told = omnicost(
        "data",
        "import",
        export,
        "--images",
        train.picture_folder,
        "--out",
        labelled,
        "--like",
        PHOTOS / "annotations" / "instances_train2017.json",
        "--manifest",
        manifest,
        "--json",
    )
    assert json.loads(told)["types"] == IMAGES
    assert json.loads(told)["skipped"] == []
    omnicost("data", "check", labelled)
    omnicost("data", "stats", labelled)
    if form == "label-studio":
        omnicost("calibrate", export, "--out", tmp_path / "times.yaml")
        assert (tmp_path / "times.yaml").exists()

    told = omnicost(
        "train", labelled, "--out", model, "--store", tmp_path / "store",
        "--val", PHOTOS, "--smoke", "--json",
    )  # fmt: skip
    outcome = json.loads(told)
    assert outcome["labels"] == IMAGES
    assert outcome["held_out"]["images"] == 50
    assert set(outcome["quality"]) == set(IMAGES) - {"mask"}
    assert "data:image/png" in (model / "index.html").read_text()
    merged = json.loads((model / "merged.json").read_text())
    weak = {a["id"] for a in json.loads((labelled / "instances.json").read_text())["annotations"]
            if "segmentation" not in a and ("bbox" in a or "point" in a)}  # fmt: skip
    assert weak <= {a["id"] for a in merged["annotations"]} | {
        each["annotation_id"] for each in outcome["empty"]
    }

    new = PHOTOS / "val2017"
    told = omnicost("predict", model, new, "--out", tmp_path / "found.json", "--json")
    assert json.loads(told)["pictures"] == 50
    assert len(COCO(str(tmp_path / "found.json")).getImgIds()) == 50

    told = omnicost("review", model, "--hours", 40, "--out", tmp_path / "tasks", "--json")
    assert json.loads(told)["images"] + json.loads(told)["left"] == 200
    rows = list(csv.DictReader((tmp_path / "tasks" / "review.csv").open()))
    rates = [float(row["expected_iou_gain"]) / float(row["seconds"]) for row in rows]
    assert rates == pytest.approx(sorted(rates, reverse=True), abs=1e-3)

    told = omnicost(
        "plan", "--dataset", "coco", "--images", train.picture_folder, "--budget", "50h",
        "--in-hand", labelled / "instances.json",
    )  # fmt: skip
    assert "AP" in told
