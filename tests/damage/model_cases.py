"""Folders of trained models, and what `predict`, `review` and `train` do with damaged ones."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_api
from safetensors.torch import save_file

from damage.coco_cases import GOOD, NAN, written
from damage.run import REFUSED, RIGHT, TOLD, Case
from omnicost.models.students import student
from omnicost.models.students.settings import TINY_MASK2FORMER
from omnicost.project.model_folder import STUDENT, ModelDescription, write_description

Spoil = Callable[[Path], object]  # of a folder with a model, its photos and its set
MODEL, MERGED, FIGURES, CARD = "model.json", "merged.json", "figures.json", "card.yaml"


@functools.cache
def trained() -> Path:
    """A model folder with a student that was not trained."""
    folder = Path(tempfile.mkdtemp())
    student.save(folder / STUDENT, student.build(TINY_MASK2FORMER, 2, "tiny"))
    write_description(folder, ModelDescription(class_names=("cat", "dog"), category_ids=(1, 2)))
    return folder


def finished(folder: Path) -> Path:
    """A set of two photos, one with a box, in a folder, and a model trained on it."""

    def change(content: dict[str, Any]) -> None:
        for image, kind in zip(content["images"], ("mask", "box"), strict=True):
            image["omnicost_type"] = kind

    photos, model = folder / "photos", folder / "model"
    photos.mkdir()
    written(change)(photos)
    shutil.copytree(trained(), model)
    merged = copy.deepcopy(GOOD)
    drawn = mask_api.encode(
        np.asfortranarray(np.pad(np.ones((9, 9), np.uint8), ((0, 11), (0, 21))))
    )
    rle = {"size": [20, 30], "counts": drawn["counts"].decode()}
    for annotation, more in zip(
        merged["annotations"],
        ({"source": "human"}, {"source": "box", "score": 0.5, "segmentation": rle}),
        strict=True,
    ):
        annotation.update(more)
    (model / MERGED).write_text(json.dumps(merged))
    (model / FIGURES).write_text(json.dumps({"empty": [], "quality": {}}))
    (model / CARD).write_text(json.dumps({"datasets": [{"name": str(photos), "train": "all"}]}))
    return folder


def edited(name: str, change: Callable[[Any], Any]) -> Spoil:
    """A file of the model after a change of its JSON."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / "model" / name).read_text())
        changed = change(content)
        (folder / "model" / name).write_text(json.dumps(content if changed is None else changed))

    return spoil


def set_to(name: str, **fields: Any) -> Spoil:
    return edited(name, lambda content: content.update(fields))


def mask_with(**fields: Any) -> Spoil:
    """The merged labels with another pseudo-mask."""
    return edited(MERGED, lambda content: content["annotations"][1].update(fields))


def torn(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "model" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def fifo(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def described(text: str | None) -> Spoil:
    """A file of tensors that says so of itself."""
    said = None if text is None else {"omnicost_student": text}
    return lambda folder: save_file({"a": torch.zeros(3)}, folder / "model" / STUDENT, said)


def photo(name: str | bytes, picture: Image.Image) -> Spoil:
    def spoil(folder: Path) -> None:
        with open(os.path.join(os.fsencode(folder / "photos"), os.fsencode(name)), "wb") as file:
            picture.save(file, "PNG")

    return spoil


def mine(name: str) -> Spoil:
    """Somebody's file."""

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")

    return spoil


def on(verb: str, spoil: Spoil, *options: str) -> Callable[[Path], list[str]]:
    """A verb on a model to which something happened; `@` in its options is the folder."""

    def make(folder: Path) -> list[str]:
        spoil(finished(folder))
        model, photos, out = (str(folder / name) for name in ("model", "photos", "out/p.json"))
        line = {
            "predict": ["predict", model, photos, "--out", out, "--device", "cpu"],
            "review": ["review", model, "--hours", "5", "--out", str(folder / "tasks")],
            "train": ["train", photos, "--out", str(folder / "made"), "--store", f"{folder}/store"],
        }[verb]
        return [*line, *(option.replace("@", f"{folder}/") for option in options)]

    return make


def ids(*names: str) -> Spoil:
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    return lambda folder: (folder / "ids.json").write_text(json.dumps({"images": images}))


IDS = ("--ids", "@ids.json")
CALIBRATED = [[0, 1], [0]]
PREDICT: dict[str, tuple[Spoil, tuple[str, ...], str, str]] = {
    "as it should be": (lambda folder: None, (), RIGHT, "in 2 pictures"),
    "a description cut short": (torn(MODEL), (), REFUSED, "is no model's description"),
    "a description of a list": (edited(MODEL, lambda c: [1]), (), REFUSED, "is no model's"),
    "a FIFO for a description": (fifo("model/model.json"), (), REFUSED, "is a FIFO, a socket"),
    "a class more": (
        set_to(MODEL, class_names=["a", "b", "c"], category_ids=[1, 2, 3]), (), REFUSED,
        "names 3 classes, its student has 2",
    ),
    "a class less": (
        set_to(MODEL, class_names=["a"], category_ids=[1]), (), REFUSED,
        "names 1 classes, its student has 2",
    ),
    "a category twice": (set_to(MODEL, category_ids=[1, 1]), (), REFUSED, "category_ids repeat"),
    "a class with a NUL": (set_to(MODEL, class_names=["a", "b\0"]), (), REFUSED, "control"),
    "a student cut short": (torn(STUDENT), (), REFUSED, "is no student"),
    "a student of other tensors": (described(None), (), REFUSED, "is no student"),
    "a student of torn words": (described("{"), (), REFUSED, "is no student"),
    "a student of a list": (described("[]"), (), REFUSED, "is no student"),
    "a student of another kind": (
        described('{"num_classes": 2, "backbone": null, "settings": {"kind": "other"}}'), (),
        REFUSED, "is no student",
    ),
    "no model": (lambda folder: shutil.rmtree(folder / "model"), (), REFUSED, "cannot be read"),
    "an unknown device": (lambda folder: None, ("--device", "tpu9"), REFUSED, "--device: tpu9"),
    "a device that is not there": (
        lambda folder: None, ("--device", "cuda:99"), REFUSED, "--device: cuda:99"
    ),
    "a rubbish photo": (
        lambda folder: (folder / "photos" / "a.png").write_bytes(b"x"), (), RIGHT,
        "skipped: a.png",
    ),
    "a photo of too many pixels": (
        photo("a.png", Image.new("1", (9000, 9000))), (), RIGHT, "has 9000 x 9000 pixels"
    ),
    "a photo of one pixel": (photo("a.png", Image.new("L", (1, 1))), (), RIGHT, "in 3 pictures"),
    "a photo 1 x 6,000": (photo("a.png", Image.new("L", (1, 6000))), (), RIGHT, "in 3 pictures"),
    "a FIFO among the photos": (fifo("photos/a.png"), (), RIGHT, "in 2 pictures"),
    "a name of escapes": (
        photo("a\x1b.png", Image.new("L", (9, 9))), (), RIGHT, r"skipped: 'a\x1b.png'"
    ),
    "a name of no text": (
        photo(b"a\xff.png", Image.new("L", (9, 9))), (), RIGHT, r"skipped: 'a\udcff.png'"
    ),
    "a photo with two ids": (ids("1.png", "2.png", "1.png"), IDS, REFUSED, "names '1.png' twice"),
    "a photo without an id": (ids("1.png"), IDS, REFUSED, "such as 2.png"),
    "a FIFO for ids": (fifo("ids.json"), IDS, REFUSED, "is no COCO-format file"),
    "a folder to write to": (lambda folder: None, ("--out", "@photos"), REFUSED, "is a folder"),
    "somebody's scratch file": (mine("out/.p.json.parts"), (), REFUSED, "was not written by"),
    "somebody's predictions": (mine("out/p.json"), (), REFUSED, "was not written by omnicost"),
    "a photo to write to": (lambda folder: None, ("--out", "@photos/1.png"), REFUSED, "written by"),
}  # fmt: skip
REVIEW: dict[str, tuple[Spoil, str, str]] = {
    "as it should be": (lambda folder: None, RIGHT, "1 images"),
    "figures cut short": (torn(FIGURES), REFUSED, "figures.json: is not as omnicost train wrote"),
    "figures of a list": (edited(FIGURES, lambda c: [1]), REFUSED, "figures.json: is not as"),
    "figures without quality": (edited(FIGURES, lambda c: {"empty": []}), REFUSED, "'quality'"),
    "quality without a calibration": (
        set_to(FIGURES, quality={"box": {}}), REFUSED, "'calibration'"
    ),
    "a calibration of two lengths": (
        set_to(FIGURES, quality={"box": {"calibration": CALIBRATED}}), REFUSED, "figures.json"
    ),
    "a calibration of NaN": (
        set_to(FIGURES, quality={"box": {"calibration": [[0, 1], [NAN, 1]]}}), REFUSED,
        "a number is NaN",
    ),
    "a label of an unknown class": (
        set_to(FIGURES, empty=[{"image_id": 1, "annotation_id": 3, "class_name": "zebra"}]),
        REFUSED, "'zebra'",
    ),
    "a FIFO for figures": (fifo("model/figures.json"), REFUSED, "is a FIFO"),
    "a FIFO for merged labels": (fifo("model/merged.json"), REFUSED, "is a FIFO"),
    "merged labels cut short": (torn(MERGED), REFUSED, "merged.json: is not as"),
    "merged labels of a list": (edited(MERGED, lambda c: [1]), REFUSED, "merged.json: is not as"),
    "a mask of an unknown category": (mask_with(category_id=9), REFUSED, "merged.json: is not as"),
    "a mask of an unknown image": (mask_with(image_id=9), REFUSED, "no image id 9"),
    "a mask without a source": (
        edited(MERGED, lambda c: c["annotations"][1].pop("source") and None), REFUSED, "'source'"
    ),
    "a score of NaN": (mask_with(score=NAN), REFUSED, "a number is NaN"),
    "a score of text": (mask_with(score="a"), REFUSED, "merged.json: is not as"),
    "an id of 2^70": (mask_with(id=2**70), REFUSED, "merged.json: is not as"),
    "a mask of letters": (
        mask_with(segmentation={"size": [20, 30], "counts": "zzz~"}), REFUSED, "its alphabet"
    ),
    "a mask of too few pixels": (
        mask_with(segmentation={"size": [20, 30], "counts": "0"}), REFUSED, "do not add to"
    ),
    "a card cut short": (
        lambda folder: (folder / "model" / CARD).write_text("datasets: [{"), REFUSED, "is not YAML"
    ),
    "a card of text": (
        lambda folder: (folder / "model" / CARD).write_text("abc"), REFUSED, "does not name a"
    ),
    "a set that is gone": (
        lambda folder: shutil.rmtree(folder / "photos"), REFUSED, "does not name a training set"
    ),
    "a class more": (
        set_to(MODEL, class_names=["a", "b", "c"], category_ids=[1, 2, 3]), REFUSED,
        "names 3 classes, its student has 2",
    ),
    "somebody's tasks": (mine("tasks/tasks.json"), REFUSED, "was not written by omnicost"),
    "somebody's listing": (mine("tasks/instances.csv"), REFUSED, "was not written by omnicost"),
    "somebody's file for a folder": (mine("tasks"), REFUSED, "was not written by omnicost"),
}  # fmt: skip
OUTPUTS = (STUDENT, MODEL, MERGED, FIGURES, CARD, "index.html", "worst/box.png")
CASES: list[Case] = [
    *(
        Case("predict", name, on("predict", spoil, *options), must, said)
        for name, (spoil, options, must, said) in PREDICT.items()
    ),
    *(
        Case("review", name, on("review", spoil), must, said)
        for name, (spoil, must, said) in REVIEW.items()
    ),
    *(
        Case("train", f"somebody's {name}", on("train", mine(f"made/{name}")), REFUSED,
             f"{name}: exists and was not written by omnicost")
        for name in OUTPUTS
    ),
    Case("train", "a dry run as it should be",
         on("train", lambda folder: None, "--base", "tiny", "--dry-run"), TOLD, "1 box"),
]  # fmt: skip
