"""Settings of the student's training, with the released recipes as presets (light: no torch).

Sources: facebookresearch/Mask2Former at 9b0651c (``configs/{coco,ade20k,cityscapes}/instance-
segmentation``), and §4.1 of the paper for the schedule ``paper-text``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from omnicost.annotation import AnnotationType, Policy
from omnicost.engine.params import Params, added_field, runtime_field
from omnicost.errors import InputError
from omnicost.models.students.settings import Architecture, Mask2FormerSettings
from omnicost.pipeline.config import Precision
from omnicost.pipeline.student.presets import preset_values
from omnicost.results import PolicyField


class OptimizerConfig(Params):
    """AdamW as Mask2Former's."""

    learning_rate: float = Field(default=1e-4, gt=0)
    # Of the learning rate; 0 leaves the backbone as is.
    backbone_factor: float = Field(default=0.1, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)  # none on norms and embeddings
    clip_norm: float | None = Field(default=0.01, gt=0)  # L2 norm over the full model's gradient


class ScheduleConfig(Params):
    """How long, and at what rate."""

    steps: int = Field(default=368_750, ge=1)
    batch_images: int = Field(default=16, ge=1)
    decay: Literal["step", "poly"] = "step"
    drop_at: tuple[int, ...] = (327_778, 355_092)
    drop_factor: float = Field(default=0.1, gt=0)
    power: float = Field(default=0.9, gt=0)
    warmup_steps: int = Field(default=0, ge=0)  # linear from 0; the released recipes have none

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at a step, counted from 0."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.decay == "poly":
            return warm * (1 - step / self.steps) ** self.power
        return warm * self.drop_factor ** sum(step >= drop for drop in self.drop_at)

    def until(self, steps: int) -> ScheduleConfig:
        """The first steps, at the full rate: warm-up, no decay."""
        return self.model_copy(update={"steps": steps, "decay": "step", "drop_at": ()})

    def after(self, steps: int) -> ScheduleConfig:
        """The other steps with their decay: drops where they were, ``poly`` from the full rate."""
        return self.model_copy(
            update={
                "steps": self.steps - steps,
                "drop_at": tuple(max(0, drop - steps) for drop in self.drop_at),
                "warmup_steps": 0,
            }
        )

    def shortened(self, share: float) -> ScheduleConfig:
        """The same shape over a share of the steps."""
        return self.model_copy(
            update={
                "steps": max(1, round(share * self.steps)),
                "drop_at": tuple(round(share * drop) for drop in self.drop_at),
                "warmup_steps": round(share * self.warmup_steps),
            }
        )


class TrunkConfig(Params):
    """A student that all students of a card go on from: one policy's labels at the full rate."""

    cell: PolicyField = Policy.of({AnnotationType.NONE: 1.0})  # the cheapest
    share: float = Field(default=0.7, gt=0, lt=1)  # of the schedule's steps

    @field_validator("cell", mode="before")
    @classmethod
    def _type_is_enough(cls, value: Any) -> Any:
        text = f"{value}=1" if isinstance(value, str) and "=" not in value else value
        try:
            return Policy.parse(text) if isinstance(text, str) else text
        except InputError as error:
            raise ValueError(f"{error.problem}; {error.remedy}") from None

    def __str__(self) -> str:
        return f"{self.share:g} on {self.cell}"


class AugmentConfig(Params):
    """Random views of a picture; all end in a crop of fixed size, padded with grey."""

    crop: tuple[int, int] = (1024, 1024)  # height, width
    # Large-scale jitter: the picture fitted into the crop, then scaled by a draw from this range.
    jitter: tuple[float, float] | None = (0.1, 2.0)
    # Or: the short edge drawn from these, the long edge no longer than the limit.
    short_edges: tuple[int, ...] = ()
    long_edge: int = Field(default=4096, gt=0)
    flip: float = Field(default=0.5, ge=0, le=1)
    colour: bool = False  # SSD's brightness, contrast, saturation, hue

    @model_validator(mode="after")
    def _one_way_to_scale(self) -> AugmentConfig:
        if (self.jitter is None) == (not self.short_edges):
            raise ValueError("give either jitter or short_edges")
        return self


class StudentConfig(Params):
    """A student: what it is, how it learns, on which views.

    ``preset: coco/published`` in a card stands for that recipe; other keys beside it override it.
    """

    architecture: Architecture = Mask2FormerSettings()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    precision: Precision = "bf16"
    compile: bool = False
    trunk: TrunkConfig | None = added_field()
    # Images that go through the network at once on a device; None: its whole share of the batch.
    micro_batch_images: int | None = Field(default=None, ge=1)
    # The paper filters pseudo-masks once (detections at 0.3) and weighs them like real masks.
    pseudo_min_score: float = Field(default=0.0, ge=0, le=1)
    # Or by their score, or by the IoU that cross-fitting on the masked images expects of it.
    pseudo_weight: Literal["one", "score", "recalibrated"] = "one"
    # Of the generalised cross-entropy on pseudo-masks' pixels (`models.students.criterion`).
    pseudo_exponent: float = added_field(0.0, ge=0, le=1)
    skip_empty_images: bool = True  # as detectron2 does
    channels_last: bool = runtime_field(default=False)
    checkpoint_activations: bool = runtime_field(default=False)
    # Processes that decode and augment; None: one fewer than the stage has threads, none where all
    # pictures stay decoded in memory.
    workers: int | None = runtime_field(default=None, ge=0)
    checkpoint_every: int = runtime_field(default=5_000, ge=1)
    log_every: int = runtime_field(default=20, ge=1)
    # Shares of its own steps after which a student is scored as it goes on.
    score_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = runtime_field(default=())

    @model_validator(mode="after")
    def _weights_are_read(self) -> StudentConfig:
        if self.architecture.kind == "mask2former":
            return self
        for name, plain in {"pseudo_weight": "one", "pseudo_exponent": 0.0}.items():
            if getattr(self, name) != plain:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} needs architecture.kind mask2former: "
                    f"{self.architecture.kind} has no losses of single instances"
                )
        return self

    @model_validator(mode="after")
    def _trunk_has_a_branch(self) -> StudentConfig:
        if (self.trunk is not None or self.score_at) and self.architecture.kind == "detectron2":
            raise ValueError("trunk and score_at need architecture.kind mask2former or maskrcnn")
        if self.trunk is not None and not 0 < self.trunk_steps < self.schedule.steps:
            raise ValueError(
                f"trunk: {self.trunk.share:g} of {self.schedule.steps} steps leaves none to one of "
                "trunk and branch: set schedule.steps or trunk.share"
            )
        return self

    @property
    def trunk_steps(self) -> int:
        """Steps of the trunk; 0 without one."""
        return 0 if self.trunk is None else round(self.trunk.share * self.schedule.steps)

    @property
    def of_trunk(self) -> StudentConfig:
        """Settings of the trunk's own training."""
        schedule = self.schedule.until(self.trunk_steps)
        return self.model_copy(update={"schedule": schedule, "trunk": None, "score_at": ()})

    @property
    def of_branch(self) -> StudentConfig:
        """Settings of the training that is left after the trunk, if there is one."""
        if self.trunk is None:
            return self
        return self.model_copy(update={"schedule": self.schedule.after(self.trunk_steps)})

    @model_validator(mode="after")
    def _frozen_statistics(self) -> StudentConfig:
        if self.checkpoint_activations and not getattr(self.architecture, "freeze_batchnorm", True):
            raise ValueError(
                "checkpoint_activations passes each batch twice, which batch norms in training "
                "would count twice: set architecture.freeze_batchnorm or leave it out"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "preset" not in given:
            return given
        rest = {key: value for key, value in given.items() if key != "preset"}
        return _merged(preset_values(given["preset"]), rest)

    @classmethod
    def preset(cls, name: str) -> StudentConfig:
        """The recipe of that name, such as ``coco/published``."""
        return cls.model_validate({"preset": name})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(below, Mapping)
            # Another architecture shares no setting with the preset's: it has its own defaults.
            and value.get("kind", "") in ("", below.get("kind"))
        ):
            value = _merged(below, value)
        merged[key] = value
    return merged
