"""The released Mask2Former recipe, figure by figure (facebookresearch/Mask2Former @ 9b0651c)."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from omnicost.errors import InputError
from omnicost.models.students.mask2former import Mask2FormerStudent
from omnicost.models.students.settings import Mask2FormerSettings, MaskRCNNSettings
from omnicost.pipeline.student.config import ScheduleConfig, StudentConfig
from omnicost.pipeline.student.step import build_optimizer

PUBLISHED = {
    name: StudentConfig.preset(f"{name}/published") for name in ("coco", "ade20k", "cityscapes")
}


@pytest.fixture(scope="module")
def resnet50() -> Mask2FormerStudent:
    from transformers import ResNetConfig

    config = ResNetConfig(out_indices=[1, 2, 3, 4])  # the defaults are ResNet-50's
    settings = PUBLISHED["coco"].architecture
    assert isinstance(settings, Mask2FormerSettings)
    return Mask2FormerStudent(settings, 80, config)


def test_figures_common_to_all_data_sets() -> None:
    """Optimizer, losses and points are the released ones on all three data sets."""
    for config in PUBLISHED.values():
        assert config.optimizer.model_dump() == {
            "learning_rate": 1e-4,
            "backbone_factor": 0.1,
            "weight_decay": 0.05,
            "clip_norm": 0.01,
        }
        head = config.architecture
        assert isinstance(head, Mask2FormerSettings)
        assert (head.queries, head.encoder_layers, head.decoder_layers) == (100, 6, 9)
        assert (head.class_weight, head.mask_weight, head.dice_weight) == (2, 5, 5)
        assert head.no_object_weight == 0.1
        assert (head.points, head.oversample_ratio, head.importance_ratio) == (12_544, 3.0, 0.75)
        assert head.detections == 100
        assert config.schedule.batch_images == 16
        assert config.schedule.warmup_steps == 0
        assert config.precision != "fp32"  # AMP
        assert config.augment.flip == 0.5


def test_schedules() -> None:
    """368,750 steps with two drops on COCO; 160k and 90k steps with a power of 0.9."""
    coco = PUBLISHED["coco"].schedule
    assert (coco.steps, coco.decay, coco.drop_at) == (368_750, "step", (327_778, 355_092))
    assert [coco.factor(step) for step in (0, 327_777, 327_778, 355_091, 355_092)] == [
        pytest.approx(value) for value in (1, 1, 0.1, 0.1, 0.01)
    ]
    for name, steps in (("ade20k", 160_000), ("cityscapes", 90_000)):
        schedule = PUBLISHED[name].schedule
        assert (schedule.steps, schedule.decay, schedule.power) == (steps, "poly", 0.9)
        assert schedule.factor(0) == 1
        assert schedule.factor(steps // 2) == pytest.approx(0.5**0.9)


def test_trunk_and_branch_share_the_schedule() -> None:
    """The trunk has the full rate; the branch COCO's drops where they were, or its own ``poly``."""
    coco = StudentConfig.model_validate({"preset": "coco/published", "trunk": {"share": 0.7}})
    trunk, branch = coco.of_trunk.schedule, coco.of_branch.schedule
    assert trunk.steps + branch.steps == 368_750
    assert trunk.steps == coco.trunk_steps == 258_125
    assert {trunk.factor(step) for step in range(0, trunk.steps, 1_000)} == {1.0}
    for step in (258_125, 327_777, 327_778, 355_092):
        assert branch.factor(step - trunk.steps) == coco.schedule.factor(step)
    tiny = StudentConfig.model_validate({"preset": "tiny", "trunk": {"share": 0.7}})
    trunk, branch = tiny.of_trunk.schedule, tiny.of_branch.schedule
    assert trunk.factor(trunk.steps - 1) == branch.factor(0) == 1
    assert branch.factor(branch.steps - 1) < 0.1


def test_a_trunk_is_in_the_key_only_where_there_is_one() -> None:
    """Students without one keep the keys that they had; cell and share count; nonsense is told."""
    plain = StudentConfig.preset("tiny")
    assert "trunk" not in plain.identity()
    assert StudentConfig.model_validate({"preset": "tiny", "trunk": None}) == plain
    told = StudentConfig.model_validate({"preset": "tiny", "trunk": {"cell": "mask=0.1,box=0.9"}})
    assert told.identity()["trunk"] == {"cell": {"box": 0.9, "mask": 0.1}, "share": 0.7}
    assert str(told.trunk) == "0.7 on mask=0.1,box=0.9"
    for wrong in ({"cell": "boxes"}, {"share": 1.0}, {"share": 1e-6}):
        with pytest.raises(ValidationError, match="trunk"):
            StudentConfig.model_validate({"preset": "tiny", "trunk": wrong})


def test_views() -> None:
    """Large-scale jitter on COCO; short edges, crops and colour on the others."""
    coco = PUBLISHED["coco"].augment
    assert (coco.jitter, coco.crop, coco.colour) == ((0.1, 2.0), (1024, 1024), False)
    ade = PUBLISHED["ade20k"].augment
    assert (min(ade.short_edges), max(ade.short_edges), ade.crop) == (320, 1280, (640, 640))
    city = PUBLISHED["cityscapes"].augment
    assert (min(city.short_edges), max(city.short_edges), city.crop) == (512, 2048, (512, 1024))
    assert ade.colour
    assert city.colour


def test_batchnorm_is_frozen_but_for_cityscapes() -> None:
    """COCO and ADE20K freeze the backbone's batch norms, Cityscapes trains them."""
    frozen = {
        name: config.architecture.model_dump()["freeze_batchnorm"]
        for name, config in PUBLISHED.items()
    }
    assert frozen == {"coco": True, "ade20k": True, "cityscapes": False}


def test_paper_text_is_fifty_epochs_of_batch_32() -> None:
    """The paper's sentence, on each data set; far shorter than published on the small ones."""
    steps = {
        name: StudentConfig.preset(f"{name}/paper-text").schedule.steps
        for name in ("coco", "ade20k", "cityscapes")
    }
    assert steps == {"coco": 184_823, "ade20k": 31_578, "cityscapes": 4_648}
    drops = StudentConfig.preset("coco/paper-text").schedule.drop_at
    assert [drop / steps["coco"] for drop in drops] == [
        pytest.approx(share, abs=1e-4) for share in (327_778 / 368_750, 355_092 / 368_750)
    ]


def test_built_network_has_these_figures(resnet50: Mask2FormerStudent) -> None:
    """Nine decoder layers and the learnable queries, six encoder layers, 44 million weights."""
    decoder = resnet50.network.transformer_module.decoder
    assert len(decoder.layers) == 9
    assert len(resnet50.network.pixel_level_module.decoder.encoder.layers) == 6
    assert tuple(resnet50.network.transformer_module.queries_features.weight.shape) == (100, 256)
    assert resnet50.class_predictor.out_features == 81
    millions = sum(part.numel() for part in resnet50.parameters()) / 1e6
    assert millions == pytest.approx(44, abs=0.5)  # Table 1 of the Mask2Former paper
    with torch.no_grad():
        masks, classes = resnet50.outputs(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert len(masks) == len(classes) == 10


def test_optimizer_groups(resnet50: Mask2FormerStudent) -> None:
    """A tenth of the rate for the backbone; no decay on norms and embeddings; all of it once."""
    resnet50.train()
    groups = build_optimizer(resnet50, PUBLISHED["coco"].optimizer).param_groups
    by_kind: dict[tuple[float, float], int] = {
        (group["lr"], group["weight_decay"]): sum(part.numel() for part in group["params"])
        for group in groups
    }
    assert set(by_kind) == {(1e-4, 0.05), (1e-4, 0.0), (1e-5, 0.05)}
    trained = [part for part in resnet50.parameters() if part.requires_grad]
    assert sum(by_kind.values()) == sum(part.numel() for part in trained)
    queries = resnet50.network.transformer_module.queries_embedder.weight
    undecayed = next(group for group in groups if group["weight_decay"] == 0)
    assert any(part is queries for part in undecayed["params"])


def test_overrides_of_a_preset() -> None:
    """Keys beside a preset replace its own, at any depth, and no others."""
    config = StudentConfig.model_validate(
        {"preset": "ade20k/published", "schedule": {"steps": 10}, "architecture": {"queries": 7}}
    )
    assert (config.schedule.steps, config.schedule.decay) == (10, "poly")
    head = config.architecture
    assert isinstance(head, Mask2FormerSettings)
    assert (head.queries, head.test_size.short_edge) == (7, 640)


def test_another_architecture_starts_from_its_own_defaults() -> None:
    """`kind: maskrcnn` beside a Mask2Former preset keeps schedule and views only."""
    config = StudentConfig.model_validate(
        {"preset": "coco/short", "architecture": {"kind": "maskrcnn", "width": 128}}
    )
    assert isinstance(config.architecture, MaskRCNNSettings)
    assert config.architecture.width == 128
    assert config.schedule.steps == 92_188


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": {"stepps": 3}}, "stepps"),
        ({"architecture": {"kind": "yolo"}}, "yolo"),
        ({"architecture": {"kind": "mask2former", "width": 40}}, "multiple of 32"),
        (
            {
                "architecture": {"kind": "mask2former", "freeze_batchnorm": False},
                "checkpoint_activations": True,
            },
            "freeze_batchnorm",
        ),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], message: str) -> None:
    """Unknown keys and settings that cannot hold are named."""
    with pytest.raises(ValidationError, match=message):
        StudentConfig.model_validate(values)


def test_unknown_preset_names_those_there_are() -> None:
    """A preset that does not exist is an input error that lists the others."""
    with pytest.raises(InputError, match=r"coco/published.*use tiny, tiny/scratch, coco/published"):
        StudentConfig.preset("coco/publishedd")


def test_step_decay_and_warmup() -> None:
    """Warm-up rises in equal steps to the full rate."""
    schedule = ScheduleConfig(steps=10, drop_at=(8,), warmup_steps=3)
    assert [schedule.factor(step) for step in (0, 1, 2, 3, 7, 8)] == [
        pytest.approx(value) for value in (0.25, 0.5, 0.75, 1, 1, 0.1)
    ]


def test_runtime_settings_stay_out_of_the_key() -> None:
    """Workers, checkpoints and memory formats change no output, so they change no key."""
    base = StudentConfig.preset("tiny")
    values = {"preset": "tiny", "workers": 3, "checkpoint_every": 7, "channels_last": True}
    assert StudentConfig.model_validate(values).identity() == base.identity()
    assert StudentConfig.model_validate({**values, "precision": "bf16"}).identity() != (
        base.identity()
    )
