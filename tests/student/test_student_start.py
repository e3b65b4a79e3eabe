"""A whole trained student as the start: what is taken over, what is drawn, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from student_world import NAMES, make_backbone, make_dataset, swin, tiny_values

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError, MissingError
from omnicost.models.loading import fingerprint
from omnicost.models.students import start as starts
from omnicost.models.students import student as interface
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.student import train
from omnicost.pipeline.student.config import StudentConfig

CONFIG = StudentConfig.model_validate(tiny_values(steps=2))
HEADS = ("class_predictor.weight", "class_predictor.bias")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of three classes in transformers' format, its weights in half precision."""
    folder = tmp_path_factory.mktemp("trained")
    backbone = make_backbone(folder / "backbone")
    student = train.build_student(CONFIG, NAMES, backbone, seed=7)
    starts.write_folder(student, NAMES, folder / "whole")
    return folder / "whole"


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(starts.read_start(str(folder)).weights)


def built(folder: Path, names: tuple[str, ...], **options: Any) -> interface.Student:
    config = options.get("config", CONFIG)
    return train.build_student(config, names, "no backbone is read", seed=0, start=str(folder))


def test_a_written_student_is_read_as_it_was(trained: Path) -> None:
    """Every weight comes back, to half precision; the file is small, the model is not."""
    weights = weights_of(trained)
    original = train.build_student(CONFIG, NAMES, str(trained.parent / "backbone"), seed=7)
    for name, value in original.state_dict().items():
        assert torch.equal(weights[name], value.half().to(value.dtype)), name
    halves = (trained / "model.safetensors").stat().st_size
    assert halves < 2.2 * sum(value.numel() for value in weights.values()) + 100_000


def test_same_classes_keep_the_head_whatever_their_order(trained: Path) -> None:
    """Outputs follow the data set's order of names, "no object" stays last."""
    order = (2, 0, 1)
    student = built(trained, tuple(NAMES[place] for place in order))
    given, own = weights_of(trained), student.state_dict()
    for name in HEADS:
        assert torch.equal(own[name], given[name][[*order, 3]])
    assert all(torch.equal(own[name], value) for name, value in given.items() if name not in HEADS)


@pytest.mark.parametrize("names", [("red", "green"), ("red", "green", "grey"), (*NAMES, "grey")])
def test_with_other_classes_the_head_starts_at_zero(trained: Path, names: tuple[str, ...]) -> None:
    """Whatever else the classes are, the head alone is new, and every class equally likely."""
    own, given = built(trained, names).state_dict(), weights_of(trained)
    assert own[HEADS[0]].shape[0] == len(names) + 1
    assert all(not own[name].any() for name in HEADS)
    assert all(torch.equal(own[name], value) for name, value in given.items() if name not in HEADS)


def test_a_student_that_starts_trained_predicts_as_the_trained_one(
    trained: Path, tmp_path: Path
) -> None:
    """Before its first step a student with the start's classes is the start."""
    dataset = make_dataset(tmp_path / "data")
    pictures = [dataset.image(0), dataset.image(1)]
    whole = train.build_student(CONFIG, NAMES, str(trained.parent / "backbone"), seed=7)
    whole.load_state_dict(weights_of(trained))
    expected, found = (each.eval().predict(pictures) for each in (whole, built(trained, NAMES)))
    for one, other in zip(expected, found, strict=True):
        assert one.rles == other.rles
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("start", ["trained", "swin"])
def test_a_start_is_trained_saved_and_loaded(trained: Path, tmp_path: Path, start: str) -> None:
    """Through the student step and back from its file, Swin backbones too."""
    folder = trained if start == "trained" else swin(tmp_path / "swin")
    dataset = make_dataset(tmp_path / "data")
    out = tmp_path / "out"
    out.mkdir()
    train.run(
        dataset, np.full(len(dataset), AnnotationType.MASK.strength), [], CONFIG,
        backbone="absent", start=str(folder),
        seed=0, out=out, work=tmp_path / "work", device="cpu", report=lambda *figures: None,
    )  # fmt: skip
    student = interface.load(out / train.WEIGHTS)
    assert len(student.predict([dataset.image(0)[:50, :60]])[0].scores) > 0
    again = starts.read_start(str(out / train.WEIGHTS))  # a finished student is a start too
    assert torch.equal(again.weights[HEADS[0]], student.state_dict()[HEADS[0]])


def test_a_start_in_half_precision_is_trained_in_single(tmp_path: Path) -> None:
    """The backbone's config says its type too; no weight of the student has it."""
    from transformers import Mask2FormerForUniversalSegmentation

    folder = swin(tmp_path)
    model = Mask2FormerForUniversalSegmentation.from_pretrained(folder, dtype=torch.bfloat16)
    model.config.backbone_config.dtype = torch.bfloat16
    model.save_pretrained(folder)
    student = built(folder, ("cat", "dog"))
    assert {part.dtype for part in student.parameters()} == {torch.float32}


def test_another_shape_is_refused_with_all_of_it(trained: Path) -> None:
    """Settings that do not fit the start are named with the start's own values."""
    values = tiny_values()
    values["architecture"] |= {"queries": 100, "width": 64}
    config = StudentConfig.model_validate(values)
    with pytest.raises(InputError, match=r"queries is 100, width is 64.*queries: 8, width: 32"):
        built(trained, NAMES, config=config)


def test_what_is_no_student_is_one_line(trained: Path, tmp_path: Path) -> None:
    """Another model's folder, a damaged one, an official pickle, and nothing at all."""
    with pytest.raises(InputError, match=r"holds a model of type 'resnet'.*name a student model"):
        starts.read_start(str(trained.parent / "backbone"))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    with pytest.raises(InputError, match="not a complete transformers checkpoint"):
        starts.read_start(str(tmp_path))
    for name in ("model_final.pkl", "model_final.pth"):  # as the authors' trainer writes them
        (tmp_path / name).write_bytes(b"pickle")
        with pytest.raises(InputError, match=r"a file.*name a hub id or a folder"):
            starts.read_start(str(tmp_path / name))
    with pytest.raises(MissingError, match="hf download facebook/mask2former-absent"):
        starts.read_start("facebook/mask2former-absent")


def test_a_start_of_another_make_is_refused(trained: Path, tmp_path: Path) -> None:
    """What a student's settings cannot say, they do not silently leave out."""
    config = json.loads((trained / "config.json").read_text()) | {"pre_norm": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(trained / "model.safetensors")
    with pytest.raises(InputError, match="pre_norm is True, which no student has"):
        starts.read_start(str(tmp_path))


def test_the_recipe_says_that_a_start_is_a_mask2former() -> None:
    """A start beside another architecture is refused where the card is read."""
    student = {"architecture": {"kind": "maskrcnn"}}
    with pytest.raises(ValidationError, match=r"models\.student.*kind is maskrcnn"):
        Recipe.model_validate({"models": {"student": "tiny"}, "student": student})


def test_the_start_is_what_its_bytes_are(trained: Path) -> None:
    """A start has a fingerprint, for the stage's key."""
    assert fingerprint(str(trained), "student") != fingerprint(
        str(trained / "model.safetensors"), "student"
    )


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("facebook/mask2former-swin-tiny-coco-instance", ("coco",)),
        ("facebook/mask2former-swin-large-ade-semantic", ("ade20k",)),
        ("facebook/mask2former-swin-small-cityscapes-instance", ("cityscapes",)),
        ("nobody/mask2former", ()),
        ("tiny", ()),
    ],
)
def test_starts_that_saw_a_data_set_are_known_by_name(spec: str, seen: tuple[str, ...]) -> None:
    """The authors' names say what they were trained on."""
    assert starts.seen_by(spec) == seen


def test_starts_that_saw_a_data_set_are_known_by_their_classes(tmp_path: Path) -> None:
    """A folder under any name that tells COCO's classes apart learnt from COCO."""
    folder = swin(tmp_path / "mine", ("person", "sports ball", "hair drier", "wine glass"))
    assert starts.seen_by(str(folder)) == ("coco",)
    assert starts.seen_by(str(swin(tmp_path / "other"))) == ()
