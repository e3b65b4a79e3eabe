import importlib.util
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from student_world import make_dataset

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError, MissingError
from omnicost.models.students import detectron2_backend
from omnicost.models.students import student as interface
from omnicost.models.students.settings import Detectron2Settings
from omnicost.pipeline import evaluate
from omnicost.pipeline.student import data as student_data
from omnicost.pipeline.student import train as student
from omnicost.pipeline.student import zoo
from omnicost.pipeline.student.config import StudentConfig

HAVE = importlib.util.find_spec("detectron2") is not None
needs_it = pytest.mark.skipif(not HAVE, reason="detectron2 is not installed")
# ResNet-18 with narrow heads: the zoo's own code, small.
SMALL = {
    "kind": "detectron2",
    "overrides": [
        "MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64",
        "MODEL.FPN.OUT_CHANNELS", "16", "MODEL.ROI_BOX_HEAD.FC_DIM", "32",
        "MODEL.ROI_MASK_HEAD.CONV_DIM", "16", "INPUT.MIN_SIZE_TRAIN", "(64,)",
        "INPUT.MIN_SIZE_TEST", "64", "SOLVER.BASE_LR", "0.001",
    ],
}  # fmt: skip

ALL_MASKS = np.full(6, AnnotationType.MASK.strength)


@pytest.mark.skipif(HAVE, reason="detectron2 is installed")
def test_absent_package_is_one_line(tmp_path: Path) -> None:
    """Without detectron2 a card that asks for it is told how to get it, before any training."""
    config = StudentConfig.model_validate({"architecture": {"kind": "detectron2"}})
    with pytest.raises(MissingError, match=r"not installed; build it from source"):
        student.run(
            make_dataset(tmp_path / "pictures"), ALL_MASKS, [], config, backbone="tiny",
            seed=0, out=tmp_path, work=tmp_path, device="cpu", report=lambda *figures: None,
        )  # fmt: skip


def test_registered_form_is_the_ground_truth(tmp_path: Path) -> None:
    """detectron2 gets each usable picture once, boxes and masks of the data set."""
    dataset = make_dataset(tmp_path / "pictures")
    config = StudentConfig.model_validate({"architecture": {"kind": "detectron2"}})
    nothing = student_data.read_pseudo_labels([])
    training = student_data.TrainingSet(dataset, ALL_MASKS, nothing, config)
    dicts = zoo._records(training)
    assert [one["image_id"] for one in dicts] == [5, 15, 25, 45, 55]  # 35 shows nothing
    truth = dataset.instances(0)
    assert dicts[0]["file_name"] == str(dataset.path(0))
    assert [one["bbox"] for one in dicts[0]["annotations"]] == truth.boxes.tolist()
    assert [one["segmentation"] for one in dicts[0]["annotations"]] == list(truth.rles)
    assert [one["category_id"] for one in dicts[0]["annotations"]] == truth.class_indices.tolist()


class _Trainer:
    """What of `DefaultTrainer` a training of ours asks, taken up after step 2 of 4."""

    start_iter = 2
    checkpointer = None
    model = SimpleNamespace(state_dict=dict)

    def __init__(self, config: object) -> None:
        self.hooks = self.build_hooks()
        self.storage = SimpleNamespace(latest=lambda: {"total_loss": (1.0, 0)})

    def resume_or_load(self, resume: bool) -> None:
        assert resume

    def train(self) -> None:
        for step in range(self.start_iter, 4):
            self.iter = step
            self.hooks[-1].trainer = self
            self.hooks[-1].after_step()


def test_a_taken_up_training_logs_each_step_once_and_keeps_one_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps after the checkpoint come again, in the place of those that were lost."""
    asked = []
    hooks = SimpleNamespace(
        IterationTimer=lambda: None,
        LRScheduler=lambda: None,
        PeriodicCheckpointer=lambda *given, **named: asked.append((given, named)),
    )
    engine = SimpleNamespace(DefaultTrainer=_Trainer, hooks=hooks, HookBase=object)
    seeds = SimpleNamespace(seed_all_rng=lambda seed: None)
    for name, module in {"": None, ".engine": engine, ".utils": None, ".utils.env": seeds}.items():
        monkeypatch.setitem(sys.modules, f"detectron2{name}", module or SimpleNamespace())
    for name in ("require", "zoo_config", "_planned", "Detectron2Student"):
        monkeypatch.setattr(detectron2_backend, name, MagicMock())
    monkeypatch.setattr(detectron2_backend, "_registered", lambda *_: nullcontext("set"))
    (tmp_path / student.LOG).write_text("".join(f'{{"step": {n}}}\n' for n in (1, 2, 3)))
    plan = SimpleNamespace(seed=0, steps=4, log_every=1, checkpoint_every=2)
    detectron2_backend.train(
        Detectron2Settings(), [], ("a",), plan, tmp_path, "cpu", lambda *_: None
    )
    lines = (tmp_path / student.LOG).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert asked == [((None, 2), {"max_to_keep": 1})]


@needs_it
def test_trains_and_is_scored(tmp_path: Path) -> None:
    """detectron2's trainer takes its steps; its file predicts through the common interface."""
    dataset = make_dataset(tmp_path / "pictures")
    config = StudentConfig.model_validate(
        {
            "architecture": SMALL,
            "schedule": {"steps": 3, "batch_images": 2, "drop_at": []},
            "log_every": 1,
        }
    )
    student.run(
        dataset, ALL_MASKS, [], config, backbone="", seed=0, out=tmp_path,
        work=tmp_path / "work", device="cpu", report=lambda *figures: None,
    )  # fmt: skip
    lines = (tmp_path / student.LOG).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[0])["loss_mask"] > 0
    evaluate.run(
        dataset, tmp_path / student.WEIGHTS, out=tmp_path, device="cpu",
        report=lambda *figures: None,
    )  # fmt: skip
    assert json.loads((tmp_path / "metrics.json").read_text())["AP"] is not None
    assert interface.load(tmp_path / student.WEIGHTS).num_classes == 3


@needs_it
def test_unknown_zoo_config_is_one_line() -> None:
    """A model that the zoo lacks is named."""
    with pytest.raises(InputError, match=r"zoo has no .nothing\.yaml"):
        detectron2_backend.zoo_config(Detectron2Settings(zoo_config="nothing.yaml"), 3)


@needs_it
def test_bad_override_is_one_line() -> None:
    """An override that is no key of its config is named."""
    settings = Detectron2Settings(overrides=("MODEL.NOTHING", "1"))
    with pytest.raises(InputError, match=r"student\.architecture\.overrides"):
        detectron2_backend.zoo_config(settings, 3)
