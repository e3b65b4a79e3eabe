"""Any instance segmenter of detectron2's model zoo, trained by detectron2's own trainer.

detectron2 is not on PyPI: it is built from source, so everything of it is imported late. Steps and
batch come from our schedule; optimizer, rate and views from the zoo's config and the overrides,
because the zoo's models are tuned to them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import nn

from omnicost.errors import InputError, MissingError, StageError
from omnicost.models.masks import encode
from omnicost.models.step_log import StepLog
from omnicost.models.students.settings import Detectron2Settings
from omnicost.models.students.student import ImageTargets, LazyPrediction, Prediction, Student
from omnicost.progress import Progress

Record = dict[str, Any]
"""One training picture and what it teaches, in detectron2's standard form, masks as RLE."""


class SolverSettings(NamedTuple):
    """How long detectron2's trainer runs."""

    steps: int
    batch_images: int
    drop_at: tuple[int, ...]
    checkpoint_every: int
    log_every: int
    workers: int
    seed: int


def require() -> None:
    """Say how to get detectron2 where it is absent.

    Raises:
        MissingError: if it cannot be imported.
    """
    if importlib.util.find_spec("detectron2") is None:
        raise MissingError(
            "student.architecture.kind detectron2",
            "the package detectron2 is not installed",
            "build it from source (its INSTALL.md), or use mask2former or maskrcnn",
        )


class Detectron2Student(Student):
    """A model of detectron2, for prediction; `train` trains it."""

    settings: Detectron2Settings

    def __init__(
        self, settings: Detectron2Settings, num_classes: int, backbone_config: None = None
    ) -> None:
        super().__init__(settings, num_classes, backbone_config)
        require()
        from detectron2.modeling import build_model

        self.config = zoo_config(settings, num_classes)
        self.network = build_model(self.config)

    @property
    def backbone(self) -> nn.Module:
        """The feature extractor."""
        part: nn.Module = self.network.backbone
        return part

    def train(self, mode: bool = True) -> Self:
        """Training mode; detectron2 freezes what its config says by itself."""
        nn.Module.train(self, mode)
        return self

    def loss(
        self, images: torch.Tensor, targets: Sequence[ImageTargets], world_size: int = 1
    ) -> dict[str, torch.Tensor]:
        """Not here: detectron2's own trainer computes it."""
        raise NotImplementedError("detectron2's models are trained by detectron2_backend.train")

    @torch.no_grad()
    def draw(self, images: Sequence[np.ndarray]) -> Iterator[LazyPrediction]:
        """The instances in each picture, resized as the zoo's config has it."""
        from detectron2.data.transforms import ResizeShortestEdge

        rule = self.config.INPUT
        resizer = ResizeShortestEdge([rule.MIN_SIZE_TEST] * 2, rule.MAX_SIZE_TEST)
        device = self.network.device
        for image in images:
            yield partial(_prediction, self._found(image, resizer, device))

    def _found(self, image: np.ndarray, resizer: Any, device: torch.device) -> Any:
        pixels = image[:, :, ::-1] if self.config.INPUT.FORMAT == "BGR" else image
        resized = resizer.get_transform(pixels).apply_image(np.ascontiguousarray(pixels))
        given = {
            "image": torch.from_numpy(resized.astype("float32").transpose(2, 0, 1)).to(device),
            "height": image.shape[0],
            "width": image.shape[1],
        }
        return self.network([given])[0]["instances"].to("cpu")


def _prediction(found: Any) -> Prediction:
    return Prediction(
        tuple(encode(found.pred_masks)),
        found.pred_classes.numpy(),
        found.scores.numpy(),
    )


def zoo_config(settings: Detectron2Settings, num_classes: int) -> Any:
    """The zoo's config for that number of classes, with the overrides, on the CPU.

    Raises:
        InputError: if the zoo has no such config, or an override does not fit it.
    """
    from detectron2 import model_zoo

    try:
        config = model_zoo.get_config(settings.zoo_config)
    except RuntimeError:
        raise InputError(
            "student.architecture.zoo_config",
            f"detectron2's zoo has no {settings.zoo_config!r}",
            "name a file under COCO-InstanceSegmentation/",
        ) from None
    config.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
    config.MODEL.DEVICE = "cpu"
    config.MODEL.WEIGHTS = settings.weights
    config.INPUT.MASK_FORMAT = "bitmask"
    try:
        config.merge_from_list(list(settings.overrides))
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            "student.architecture.overrides", str(error), "give KEY, VALUE pairs of its config"
        ) from None
    return config


def train(
    settings: Detectron2Settings,
    records: Sequence[Record],
    class_names: Sequence[str],
    plan: SolverSettings,
    work: Path,
    device: str,
    report: Progress,
) -> Detectron2Student:
    """Train with `detectron2.engine.DefaultTrainer` on a registered data set.

    Taken up from detectron2's own checkpoint in `work`. Seeds the process's generators, which its
    sampler and augmentation read.

    Args:
        settings: model of the zoo.
        records: what to train on.
        class_names: K names.
        plan: steps, batch, drops.
        work: scratch; its losses go to `log.jsonl` there.
        device: such as ``cpu``.
        report: told of every logged step.

    Raises:
        StageError: when the loss stops being finite.
    """
    require()
    from detectron2.engine import DefaultTrainer, hooks
    from detectron2.utils.env import seed_all_rng

    seed_all_rng(plan.seed % 2**31)
    log = StepLog(work / "log.jsonl")
    with _registered(records, class_names) as name:
        config = _planned(zoo_config(settings, len(class_names)), plan, work, name, device)

        class Trainer(DefaultTrainer):
            def build_hooks(self) -> list[Any]:
                return [
                    hooks.IterationTimer(),
                    hooks.LRScheduler(),
                    hooks.PeriodicCheckpointer(
                        self.checkpointer, plan.checkpoint_every, max_to_keep=1
                    ),
                    _reporter(plan, log, report),
                ]

        trainer = Trainer(config)
        trainer.resume_or_load(resume=True)
        log.rewind(trainer.start_iter)
        try:
            trainer.train()
        except FloatingPointError as error:
            raise StageError(f"student: {' '.join(str(error).split())}") from None
    student = Detectron2Student(settings, len(class_names))
    student.network.load_state_dict(trainer.model.state_dict())
    student.eval()
    return student


def _planned(config: Any, plan: SolverSettings, work: Path, name: str, device: str) -> Any:
    config.DATASETS.TRAIN, config.DATASETS.TEST = (name,), ()
    config.DATALOADER.NUM_WORKERS = plan.workers
    config.MODEL.DEVICE = device
    config.OUTPUT_DIR = str(work / "detectron2")
    Path(config.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    config.SEED = plan.seed % 2**31
    config.SOLVER.MAX_ITER = plan.steps
    config.SOLVER.STEPS = plan.drop_at
    config.SOLVER.IMS_PER_BATCH = plan.batch_images
    config.TEST.EVAL_PERIOD = 0
    return config


def _reporter(plan: SolverSettings, log: StepLog, report: Progress) -> Any:
    """A hook that tells of the losses and writes them as JSON lines."""
    from detectron2.engine import HookBase

    class Reporter(HookBase):  # type: ignore[misc,valid-type]
        def after_step(self) -> None:
            done = self.trainer.iter + 1
            if done % plan.log_every and done != plan.steps:
                return
            latest = self.trainer.storage.latest()
            losses = {key: value for key, (value, _) in latest.items() if "loss" in key}
            figures = {"loss": losses.pop("total_loss", 0.0), **losses}
            log.write(done, figures)
            report(done, plan.steps, figures)

    return Reporter()


@contextmanager
def _registered(records: Sequence[Record], class_names: Sequence[str]) -> Iterator[str]:
    """A data set in detectron2's catalogue for as long as the block lasts."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    name = "omnicost-student"
    DatasetCatalog.register(name, lambda: list(records))
    MetadataCatalog.get(name).set(thing_classes=list(class_names))
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
