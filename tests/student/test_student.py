import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from student_world import (
    MASK,
    NAMES,
    NO_PSEUDO,
    config_of,
    make_backbone,
    make_dataset,
    tiny_values,
)

from omnicost.data import Dataset
from omnicost.errors import InputError, MissingError, StageError
from omnicost.models import checkpoint
from omnicost.models.students import mask2former, resize
from omnicost.models.students import student as interface
from omnicost.models.students.backbone import read_backbone
from omnicost.models.students.settings import InferenceSize
from omnicost.models.students.student import Student
from omnicost.pipeline.student import data as student_data
from omnicost.pipeline.student import train as student
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import StepBatches, TrainingSet, World
from omnicost.pipeline.student.score_files import SCORES, scores_in
from omnicost.pipeline.student.step import build_optimizer


def train(
    dataset: Dataset, backbone: str, folder: Path, config: StudentConfig, **options: Any
) -> Path:
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    student.run(
        dataset,
        options.get("strengths", np.full(len(dataset), MASK)),
        [],
        config,
        backbone=backbone,
        trunk=options.get("trunk"),
        validation=options.get("validation"),
        seed=options.get("seed", 0),
        out=out,
        work=folder / "work",
        device="cpu",
        report=options.get("report", lambda done, total, figures: None),
    )
    return out


class _StopError(Exception):
    pass


def stop_at(step: int) -> Any:
    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        if done == step:
            raise _StopError

    return report


def steps_after_a_stop(
    dataset: Dataset, backbone: str, folder: Path, config: StudentConfig, **options: Any
) -> list[int]:
    """The steps of a training in the folder where another was stopped at step 5."""
    with pytest.raises(_StopError):
        train(dataset, backbone, folder, config_of(), report=stop_at(5))
    steps: list[int] = []
    report = lambda done, total, figures: steps.append(done)  # noqa: E731
    train(dataset, backbone, folder, config, report=report, **options)
    return steps


@pytest.mark.parametrize("channels_last", [False, True])
def test_resumed_training_is_the_same_bit_for_bit(
    dataset: Dataset, backbone: str, tmp_path: Path, channels_last: bool
) -> None:
    """Stopped at step 5 and taken up from the checkpoint of step 3: same weights, same log."""
    config = config_of(channels_last=channels_last)
    whole = train(dataset, backbone, tmp_path / "whole", config)
    with pytest.raises(_StopError):
        train(dataset, backbone, tmp_path / "broken", config, report=stop_at(5))
    saved = checkpoint.load(tmp_path / "broken" / "work")
    assert saved is not None
    assert saved.state["step"] == 3
    resumed = train(dataset, backbone, tmp_path / "broken", config)
    for name in (student.WEIGHTS, student.LOG):
        is_same = (resumed / name).read_bytes() == (whole / name).read_bytes()
        assert is_same, name  # pytest would compare the bytes for minutes


def test_another_seed_or_setting_starts_over(
    dataset: Dataset, backbone: str, tmp_path: Path
) -> None:
    """A checkpoint of another training in the same scratch folder is not taken up."""
    steps = steps_after_a_stop(dataset, backbone, tmp_path, config_of(), seed=1)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_half_a_batch_goes_on_from_the_whole_ones_checkpoint(
    dataset: Dataset, backbone: str, tmp_path: Path
) -> None:
    """What was killed for want of memory is not begun afresh with smaller micro-batches."""
    half = config_of(micro_batch_images=1)
    assert steps_after_a_stop(dataset, backbone, tmp_path, half) == [4, 5, 6]


def test_a_branch_goes_on_from_its_trunk(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """Trunk and branch share the steps; a branch that learns nothing is its trunk; it resumes."""
    halves = {"trunk": {"share": 0.5}, "optimizer": {"learning_rate": 1e-12}}
    config = config_of(trunk={"share": 0.5})
    trunk = train(dataset, backbone, tmp_path / "trunk", config.of_trunk)
    assert len((trunk / student.LOG).read_text().splitlines()) == 3
    still = train(dataset, backbone, tmp_path / "still", config_of(**halves), trunk=trunk)
    before, after = (interface.load(out / student.WEIGHTS).state_dict() for out in (trunk, still))
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights, atol=1e-6, rtol=1e-6)
    branch = train(dataset, backbone, tmp_path / "whole", config, trunk=trunk)
    assert (branch / student.WEIGHTS).read_bytes() != (trunk / student.WEIGHTS).read_bytes()
    often = config_of(trunk={"share": 0.5}, checkpoint_every=1)
    with pytest.raises(_StopError):
        train(dataset, backbone, tmp_path / "broken", often, trunk=trunk, report=stop_at(2))
    resumed = train(dataset, backbone, tmp_path / "broken", often, trunk=trunk)
    assert (resumed / student.WEIGHTS).read_bytes() == (branch / student.WEIGHTS).read_bytes()


def test_scoring_on_the_way_changes_no_weight(
    dataset: Dataset, backbone: str, tmp_path: Path
) -> None:
    """Scored after steps 2 and 4 of 6 it is the same student; a resumed one has both scores."""
    plain = train(dataset, backbone, tmp_path / "plain", config_of())
    config = config_of(score_at=[1 / 3, 2 / 3])
    scored = train(dataset, backbone, tmp_path / "scored", config, validation=dataset)
    assert (scored / student.WEIGHTS).read_bytes() == (plain / student.WEIGHTS).read_bytes()
    assert not (plain / SCORES).exists()
    assert set(scores_in(scored)) == {2, 4}
    with pytest.raises(_StopError):
        train(dataset, backbone, tmp_path / "cut", config, validation=dataset, report=stop_at(4))
    assert set(scores_in(tmp_path / "cut" / "work")) == {2}
    resumed = train(dataset, backbone, tmp_path / "cut", config, validation=dataset)
    assert scores_in(resumed) == scores_in(scored)
    assert config.identity() == config_of().identity()


def test_training_leaves_global_randomness_alone(
    dataset: Dataset, backbone: str, tmp_path: Path
) -> None:
    """The draws of a training neither depend on torch's global generator nor move it."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(dataset, backbone, tmp_path / "a", config_of())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = train(dataset, backbone, tmp_path / "b", config_of())
    assert (first / student.WEIGHTS).read_bytes() == (again / student.WEIGHTS).read_bytes()


def test_loss_that_is_not_a_number_names_the_images(
    dataset: Dataset, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A non-finite loss stops training with the step and the image ids of the batch."""

    def broken(self: Student, images: torch.Tensor, *rest: Any) -> dict[str, torch.Tensor]:
        return {"class": self.class_predictor.weight.sum() * float("nan")}

    monkeypatch.setattr(mask2former.Mask2FormerStudent, "loss", broken)
    with pytest.raises(StageError, match=r"nan at step 1 on image ids \d+, \d+, \d+, \d+"):
        train(dataset, backbone, tmp_path, config_of())


def test_frozen_batchnorm_stays(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """Frozen: statistics, scale and shift are the backbone's own. Not frozen: all move."""
    original = read_backbone(backbone).weights
    assert original is not None
    names = [name for name in original if "normalization" in name and "tracked" not in name]
    rate = {"optimizer": {"backbone_factor": 1.0}}
    frozen = train(dataset, backbone, tmp_path / "frozen", config_of(**rate))
    moving_config = tiny_values() | rate
    moving_config["architecture"] |= {"freeze_batchnorm": False}
    free = train(dataset, backbone, tmp_path / "free", StudentConfig.model_validate(moving_config))
    weights = [
        interface.load(out / student.WEIGHTS).backbone.state_dict() for out in (frozen, free)
    ]
    assert all(torch.equal(weights[0][name], original[name]) for name in names)
    assert not any(torch.equal(weights[1][name], original[name]) for name in names)
    convolution = next(name for name in original if name.endswith("convolution.weight"))
    assert not torch.equal(weights[0][convolution], original[convolution])


def test_saved_student_predicts_the_same(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """A student read back from its one file predicts what it did, without the backbone's file."""
    config = config_of()
    built = student.build_student(config, NAMES, backbone, seed=0).eval()
    interface.save(tmp_path / "student.safetensors", built)
    again = interface.load(tmp_path / "student.safetensors")
    pictures = [dataset.image(index) for index in range(3)]
    for one, other in zip(built.predict(pictures), again.predict(pictures), strict=True):
        assert one.rles == other.rles
        np.testing.assert_array_equal(one.scores, other.scores)


def test_equal_students_are_equal_files(tmp_path: Path) -> None:
    """A student's file says nothing of the folder that its backbone came from."""
    files = []
    for name in ("one", "quite-another"):
        built = student.build_student(config_of(), NAMES, make_backbone(tmp_path / name), seed=0)
        files.append(tmp_path / f"{name}.safetensors")
        interface.save(files[-1], built)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_damaged_student_is_one_line(tmp_path: Path) -> None:
    """A missing or damaged file is an error that names it and says what to do."""
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    for name in ("bad.safetensors", "absent.safetensors"):
        with pytest.raises(MissingError, match=rf"{name}.*train it again"):
            interface.load(tmp_path / name)


def test_backbone_that_is_absent_is_one_line(dataset: Dataset, tmp_path: Path) -> None:
    """A backbone folder that is not there is named."""
    with pytest.raises(MissingError, match="nowhere"):
        train(dataset, str(tmp_path / "nowhere"), tmp_path, config_of())


def test_predictions_do_not_depend_on_neighbours(dataset: Dataset, backbone: str) -> None:
    """A picture gets the same instances alone and among pictures of other sizes."""
    model = student.build_student(config_of(), NAMES, backbone, seed=0).eval()
    picture, other = dataset.image(0), dataset.image(1)[:40, :50]
    alone = model.predict([picture])[0]
    among = model.predict([other, picture, picture, other])
    for found in among[1:3]:
        assert found.rles == alone.rles
        np.testing.assert_allclose(found.scores, alone.scores, rtol=1e-4)
    assert among[0].rles[0]["size"] == [40, 50]


def test_scores_are_class_probability_times_mean_mask_probability(backbone: str) -> None:
    """Each kept (query, class) has its own mask, scored inside itself; best first."""
    config = config_of()
    model = student.build_student(config, NAMES, backbone, seed=0).eval()
    torch.manual_seed(0)
    masks, classes = 2 * torch.randn(8, 16, 16), torch.randn(8, 4)
    inner = resize.Inner((64, 64), (60, 48))
    assert isinstance(model, mask2former.Mask2FormerStudent)
    found = model._drawn(masks, classes, inner, (30, 24))()
    expected = []
    for query in range(8):
        full = torch.nn.functional.interpolate(
            masks[None, query : query + 1], size=(64, 64), mode="bilinear"
        )[..., :60, :48]
        full = torch.nn.functional.interpolate(full, size=(30, 24), mode="bilinear")[0, 0]
        inside = full.sigmoid()[full > 0]
        for kind in range(3):
            probability = classes[query].softmax(0)[kind].item()
            score = probability * inside.mean().item() if len(inside) else 0.0
            expected.append((score, kind, int((full > 0).sum())))
    expected.sort(key=lambda row: -row[0])
    np.testing.assert_allclose(found.scores, [row[0] for row in expected], rtol=1e-4)
    assert found.class_indices.tolist() == [row[1] for row in expected]
    from pycocotools import mask as mask_api

    areas = mask_api.area(list(found.rles))
    assert areas.tolist() == [row[2] for row in expected]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (800, 1067)), ((500, 1500), (444, 1333)), ((64, 64), (800, 800))],
)
def test_picture_size_for_prediction(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """COCO's rule: short edge 800, long edge at most 1333."""
    assert resize.shape_at(size, InferenceSize()) == expected


def test_workers_give_the_same_weights(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """Two worker processes decode and augment; the result is that of none."""
    config = config_of(schedule={"steps": 3})
    here = train(dataset, backbone, tmp_path / "0", config)
    there = train(dataset, backbone, tmp_path / "2", config.model_copy(update={"workers": 2}))
    assert (here / student.WEIGHTS).read_bytes() == (there / student.WEIGHTS).read_bytes()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named_by_workers_too(tmp_path: Path, workers: int) -> None:
    """One line with the file, no error of the loader's own."""
    dataset = make_dataset(tmp_path)
    (tmp_path / "0.png").write_bytes(b"no picture")
    config = config_of(workers=workers, schedule={"batch_images": 6})
    training = TrainingSet(dataset, np.full(6, MASK), NO_PSEUDO, config)
    with pytest.raises(InputError, match=r"^\S*0\.png \(image id 5\): damaged") as error:
        list(student_data.loader(StepBatches(training, config, 0), 0, "cpu"))
    assert "Caught" not in str(error.value)


def test_batch_must_divide_over_processes(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """Four images do not split over three processes: one line."""
    with pytest.raises(InputError, match="4 images over 3 processes"):
        student.run(
            dataset, np.full(6, MASK), [], config_of(), backbone=backbone, seed=0, out=tmp_path,
            work=tmp_path, device="cpu", report=lambda *figures: None, world=World(0, 3),
        )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"micro_batch_images": 2},
        {"channels_last": True},
        {"checkpoint_activations": True},
    ],
    ids=str,
)
def test_ways_to_fit_a_device_train_alike(
    dataset: Dataset, backbone: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Half precision, micro-batches, memory formats and activation checkpoints: same losses.

    Their first loss is the plain one's up to rounding (micro-batches: up to the points drawn).
    """
    schedule = {"steps": 2}
    logs = [
        json.loads((train(dataset, backbone, tmp_path / name, config_of(**values)) / "log.jsonl")
                   .read_text().splitlines()[0])
        for name, values in (
            ("plain", {"schedule": schedule}),
            ("other", {"schedule": schedule, **options}),
        )
    ]  # fmt: skip
    tolerance = 0.1 if "micro_batch_images" in options else 0.03
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=tolerance)


def test_a_student_learns(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """80 steps on five pictures: it finds what it was shown (AP50 over 30 on the same five).

    The backbone of this test is untrained, so it learns too.
    """
    from omnicost.pipeline import evaluate

    config = config_of(schedule={"steps": 80}, optimizer={"backbone_factor": 0.5})
    out = train(dataset, backbone, tmp_path, config)
    evaluate.run(dataset, out / student.WEIGHTS, out=out, device="cpu", report=lambda *a: None)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["AP50"] > 30, metrics


def test_backbone_of_rate_zero_stays(dataset: Dataset, backbone: str, tmp_path: Path) -> None:
    """A backbone factor of 0 trains the head only, and works out no gradient for the rest."""
    config = config_of(schedule={"steps": 2}, optimizer={"backbone_factor": 0.0})
    out = train(dataset, backbone, tmp_path, config)
    original = read_backbone(backbone).weights
    assert original is not None
    trained = interface.load(out / student.WEIGHTS).backbone.state_dict()
    assert all(torch.equal(trained[name], value) for name, value in original.items())
    model = student.build_student(config, NAMES, backbone, seed=0)
    build_optimizer(model, config.optimizer)
    assert not any(part.requires_grad for part in model.backbone.parameters())
