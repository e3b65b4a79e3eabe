"""What no CPU shows: run first on a machine with CUDA (`make test-gpu`, minutes)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_api
from student_world import make_backbone, make_dataset, tiny_values
from teacher_world import detector_folder, text_folder, tiny_sam, write_dataset

from omnicost.annotation import AnnotationType
from omnicost.models.students import student as interface
from omnicost.pipeline import detect, embed, evaluate
from omnicost.pipeline.config import DetectConfig, EmbedConfig, PseudomaskConfig, TeacherConfig
from omnicost.pipeline.proposals import Detections
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.student import train as student
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.step import build_optimizer, build_scaler, train_step
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.progress import silent

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
MASK = AnnotationType.MASK.strength
GIGABYTE = 1e9


class _StoppedError(Exception):
    pass


def stop_at(step: int) -> Any:
    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        if done >= step:
            raise _StoppedError

    return report


def losses(log: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_student_resumes(tmp_path: Path, precision: str) -> None:
    """Killed at step 5, taken up from step 3 with its scaler's state: losses go on as they were."""
    config = StudentConfig.model_validate({**tiny_values(), "precision": precision})
    dataset, backbone = make_dataset(tmp_path / "data"), make_backbone(tmp_path / "backbone")

    def train(folder: Path, report: Any) -> Path:
        out = folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        student.run(
            dataset, np.full(6, MASK), [], config, backbone=backbone, seed=0, out=out,
            work=folder / "work", device="cuda", report=report,
        )  # fmt: skip
        return out

    whole = train(tmp_path / "whole", silent)
    with pytest.raises(_StoppedError):
        train(tmp_path / "broken", stop_at(5))
    resumed = train(tmp_path / "broken", silent)
    assert len(losses(resumed / student.LOG)) == 6
    assert losses(resumed / student.LOG) == pytest.approx(losses(whole / student.LOG), rel=0.05)


def test_a_teacher_resumes(tmp_path: Path) -> None:
    """Killed after a checkpoint and taken up on the GPU: all steps, finite, as uninterrupted."""
    tiny_sam().save_pretrained(tmp_path / "sam")
    dataset, text = write_dataset(tmp_path / "data", images=8), text_folder(tmp_path / "text")
    config = TeacherConfig(
        steps=6, batch_images=4, points=64, late_step=4, log_every=1, checkpoint_every=3
    )

    def train(folder: Path, report: Any) -> Path:
        for name in ("out", "work"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        teacher.run(
            dataset, str(tmp_path / "sam"), text, config, kind=TeacherKind("point_box", True),
            labelled=range(8), seed=0, out=folder / "out", work=folder / "work", device="cuda",
            report=report,
        )  # fmt: skip
        return folder / "out"

    whole = train(tmp_path / "whole", silent)
    with pytest.raises(_StoppedError):
        train(tmp_path / "broken", stop_at(5))
    resumed = train(tmp_path / "broken", silent)
    assert losses(resumed / "log.jsonl") == pytest.approx(losses(whole / "log.jsonl"), rel=0.05)


def test_a_vit_b_teacher_in_bf16(tmp_path: Path) -> None:
    """ViT-B at full size, three steps of four pictures in bf16: finite, weights stay float32."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    SamModel(SamConfig()).save_pretrained(tmp_path / "sam")
    dataset = write_dataset(tmp_path / "data", images=4, size=(480, 640))
    config = TeacherConfig(
        steps=3, batch_images=4, late_step=2, precision="bf16", log_every=1, validate_every=3
    )
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    teacher.run(
        dataset, str(tmp_path / "sam"), text_folder(tmp_path / "text"), config,
        kind=TeacherKind("box", False), labelled=range(4), seed=0, out=tmp_path / "out",
        work=tmp_path / "work", device="cuda",
    )  # fmt: skip
    assert all(map(math.isfinite, losses(tmp_path / "out" / "log.jsonl")))
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "out" / "teacher.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, StudentConfig]:
    """Mask2Former on ResNet-50 with the COCO recipe, one process's two pictures of a step."""
    from transformers import ResNetBackbone, ResNetConfig

    from omnicost.pipeline.student.data import StepBatches, TrainingSet, read_pseudo_labels

    folder = tmp_path_factory.mktemp("full")
    ResNetBackbone(ResNetConfig(out_indices=[1, 2, 3, 4])).save_pretrained(folder / "r50")
    schedule = {"steps": 100, "batch_images": 2}
    config = StudentConfig.model_validate({"preset": "coco/published", "schedule": schedule})
    dataset = make_dataset(folder / "data", size=640)
    training = TrainingSet(dataset, np.full(6, MASK), read_pseudo_labels([]), config)
    model = student.build_student(config, dataset.class_names, str(folder / "r50"), seed=0)
    return model.to("cuda").train(), StepBatches(training, config, 0), config


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_full_size_student_fits_what_the_dry_run_says(
    full_size: tuple[Any, Any, StudentConfig], precision: str
) -> None:
    """Five steps of two 1024 x 1024 pictures: finite, in no more than the estimate's memory, and in
    no less than half of it, or the estimate would turn cards away that are large enough."""
    from omnicost.sweep.priors import PAPER_SCALE

    model, batches, config = full_size
    config = config.model_copy(update={"precision": precision})
    optimizer, scaler = build_optimizer(model, config.optimizer), build_scaler(config, "cuda")
    torch.cuda.reset_peak_memory_stats()
    for step in range(5):
        end = train_step(model, batches[step], optimizer, scaler, config, "cuda", student.ALONE)
        assert end.is_skipped or math.isfinite(end.losses["loss"])
    used = torch.cuda.max_memory_allocated() / GIGABYTE
    prior = PAPER_SCALE["student"]
    expected = prior.memory_fixed + 2 * prior.memory_image
    assert 0.5 * expected < used < expected


def test_norms_that_train_are_synchronised(tmp_path: Path) -> None:
    """Cityscapes' norms become synchronised ones, which predict alike."""
    values = tiny_values()
    values["architecture"] |= {"freeze_batchnorm": False}
    config = StudentConfig.model_validate(values)
    backbone, dataset = make_backbone(tmp_path / "backbone"), make_dataset(tmp_path / "data")
    model = student.build_student(config, dataset.class_names, backbone, seed=0).to("cuda")
    before = model.eval().predict([dataset.image(0)])[0]
    student.synchronise_norms(model, student.World(0, 2), "cuda")
    after = model.eval().predict([dataset.image(0)])[0]
    np.testing.assert_allclose(after.scores, before.scores, rtol=1e-3)


def test_pseudo_masks_are_those_of_the_processor(tmp_path: Path) -> None:
    """On cached embeddings, with threads beside the GPU: as many masks, of an IoU over 0.99."""
    tiny_sam().save_pretrained(tmp_path / "sam")
    dataset, spec = write_dataset(tmp_path / "data", images=8), str(tmp_path / "sam")
    found = {}
    for device in ("cpu", "cuda"):
        where = tmp_path / device
        for name in ("cache", "teacher", "masks", "work"):
            (where / name).mkdir(parents=True)
        embed.run(dataset, spec, EmbedConfig(), out=where / "cache", work=where / "work")
        teacher.write_released(where / "teacher", TeacherKind("box", False))
        drawn = Job(AnnotationType.BOX, range(8), where / "masks", {"mask": where / "teacher"})
        pseudomask.run(
            dataset, spec, "", PseudomaskConfig(workers=2), [drawn],
            embeddings=[where / "cache"], work=where / "work", device=device,
        )  # fmt: skip
        found[device] = pseudomask.read(where / "masks").to_pylist()
    assert len(found["cuda"]) == len(found["cpu"]) > 8
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        codes = [{"size": [r["height"], r["width"]], "counts": r["rle"]} for r in (one, other)]
        assert mask_api.iou(codes[:1], codes[1:], [0])[0, 0] > 0.99


def test_a_student_predicts_as_on_the_processor(tmp_path: Path) -> None:
    """Masks encoded beside the GPU: the same scores, and AP to a hundredth."""
    config = StudentConfig.model_validate(tiny_values())
    dataset, backbone = make_dataset(tmp_path / "data"), make_backbone(tmp_path / "backbone")
    model = student.build_student(config, dataset.class_names, backbone, seed=0)
    interface.save(tmp_path / student.WEIGHTS, model)
    found = {
        device: dict(evaluate.predict(dataset, tmp_path / student.WEIGHTS, device, silent))
        for device in ("cpu", "cuda")
    }
    for index, one in found["cpu"].items():
        np.testing.assert_allclose(found["cuda"][index].scores, one.scores, atol=1e-3)
    ap = [evaluate.coco_metrics(dataset, each.items())["AP"] for each in found.values()]
    assert ap[0] == pytest.approx(ap[1], abs=0.01)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_detector_finds_alike_in_less_precision(tmp_path: Path, precision: str) -> None:
    """Its boxes move by less than a hundredth of the picture (median) on the GPU."""
    dataset, spec = write_dataset(tmp_path / "data", images=4), detector_folder(tmp_path / "d")
    found = []
    for name, settings in (("fp32", {}), (precision, {"precision": precision})):
        out, work = tmp_path / name, tmp_path / f"{name}-work"
        out.mkdir()
        work.mkdir()
        config = DetectConfig(keep_above=0.0, threshold=0.0, **settings)
        detect.run(dataset, spec, config, mode="all", out=out, work=work, device="cuda")
        found.append(Detections([out]))
    for image_id, size in zip(dataset.image_ids.tolist(), dataset.sizes.tolist(), strict=True):
        one, other = (each.of(image_id).boxes for each in found)
        near = np.abs(one[:, None] - other[None]).max(-1).min(1)
        assert np.median(near) < 0.01 * max(size)
