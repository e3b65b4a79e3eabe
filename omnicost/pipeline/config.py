"""Settings of the teacher's half of the pipeline: every choice that the paper leaves open.

Light on purpose (no torch): cards are read and checked without loading a model. A setting made
with `runtime_field` changes how long or where a step runs, never its output, and so stays out of
the step's key (`Params.identity`).
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from omnicost.engine.params import Params, runtime_field

# tf32 and the 16-bit ones let CUDA round the factors of fp32 products to TF32; fp32 does not.
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Attention = Literal["eager", "sdpa"]
NO_START: Final = "none"


class ModelSpecs(Params):
    """Which weights: a hub id, a folder, an official ``.pth`` file or ``tiny``.

    `student` names a whole trained student to start from, in transformers' format or a finished
    student's own file, its class head made anew where the classes differ; with ``none``, the
    paper's, a fresh head on the pretrained `backbone`.
    """

    sam: str = "tiny"
    detector: str = "tiny"
    text: str = "tiny"
    backbone: str = "tiny"
    student: str = NO_START


class EmbedConfig(Params):
    """The frozen image encoder's pass over the images, and its cache."""

    precision: Precision = "fp32"  # of the encoder; the cache itself is fp16
    attention: Attention = "sdpa"
    compile: bool = False
    channels_last: bool = runtime_field(default=False)
    batch_images: int = Field(default=4, ge=1)
    # What does not fit is encoded in passing.
    limit_gigabytes: float = runtime_field(default=50.0, ge=0)
    shard_images: int = runtime_field(default=256, ge=1)
    # Threads that decode pictures; None: one fewer than the stage has (`resources.*.threads`).
    workers: int | None = runtime_field(default=None, ge=0)


DEFAULT_EMBED: Final = EmbedConfig()


class ProposalConfig(Params):
    """GroundingDINO's proposals."""

    score: Literal["max", "mean"] = "max"  # of a class, over its tokens
    keep_above: float = Field(default=0.1, ge=0, le=1)  # tau_c: what Algorithm 1 may still use
    precision: Precision = "fp32"
    batch_images: int = Field(default=2, ge=1)
    workers: int | None = runtime_field(default=None, ge=0)


class SelectConfig(Params):
    """Which proposals become prompts; applied when they are used, so nothing is detected anew."""

    threshold: float = Field(default=0.3, ge=0, le=1)  # confidence of a prompt (none, class)
    nms_iou: float = Field(default=0.9, gt=0, le=1)
    nms: Literal["class", "all"] = "class"


DEFAULT_SELECT: Final = SelectConfig()


class DetectConfig(ProposalConfig, SelectConfig):
    """Detection as a recipe has it: proposals, and which of them become prompts."""

    @property
    def proposals(self) -> ProposalConfig:
        """The part that the detector reads."""
        return ProposalConfig(**{name: getattr(self, name) for name in ProposalConfig.model_fields})

    @property
    def selection(self) -> SelectConfig:
        """The part that pseudo-masks read."""
        return SelectConfig(**{name: getattr(self, name) for name in SelectConfig.model_fields})

    @model_validator(mode="after")
    def _threshold_sees_all(self) -> DetectConfig:
        if self.threshold < self.keep_above:
            raise ValueError(
                f"threshold {self.threshold:g} is under keep_above {self.keep_above:g}: "
                "proposals that it should pass were never kept"
            )
        return self


class TeacherConfig(Params):
    """Fine-tuning of SAM's prompt encoder and mask decoder (§4.1 of the paper)."""

    tune: bool = True  # False: the released weights whatever is labelled (Table 4)
    class_aware: Literal["paper", "always", "never"] = "paper"  # paper: all but box + class
    steps: int = Field(default=36_874, ge=0)
    batch_images: int = Field(default=32, ge=1)
    # At most; a random subset of the batch's instances.
    prompts_per_step: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    late_learning_rate: float = Field(default=1e-6, gt=0)
    late_step: int = Field(default=27_655, ge=0)  # first step at the late rate
    full_rate_instances: int = Field(default=1_000, ge=1)  # of the rates; in proportion with fewer
    weight_decay: float = Field(default=0.01, ge=0)  # AdamW's usual value; the paper gives none
    start_token: Literal["single", "best"] = "best"  # of P-SAM: best: the multi-mask token that is
    held_out_share: float = Field(default=0.2, ge=0, lt=1)  # of the images, to tell if tuning helps
    held_out_images: int = Field(default=256, ge=0)  # at most
    held_out_instances: int = Field(default=60, ge=1)  # at least, or none are held out
    ce_weight: float = Field(default=5.0, ge=0)
    dice_weight: float = Field(default=5.0, ge=0)
    rating_weight: float = Field(default=1.0, ge=0)  # squared error to the true IoU, as released
    points: int = Field(default=112 * 112, ge=1)  # of the loss, per mask
    oversample: float = Field(default=3.0, ge=1)  # Mask2Former
    importance: float = Field(default=0.75, ge=0, le=1)  # Mask2Former
    class_prompt: str = "{}"  # what the text encoder reads, {} standing for the class name
    precision: Precision = "fp32"
    # Prompts decoded at once; None: by device.
    decode_prompts: int | None = Field(default=None, ge=1)
    # Threads that read the next batches; None: one fewer than the stage has, and at least one.
    workers: int | None = runtime_field(default=None, ge=0)
    validation_images: int = runtime_field(default=64, ge=0)
    validate_every: int = runtime_field(default=1_000, ge=1)
    checkpoint_every: int = runtime_field(default=500, ge=1)
    log_every: int = runtime_field(default=20, ge=1)


DEFAULT_TEACHER: Final = TeacherConfig()


class RefineConfig(Params):
    """Algorithm 1."""

    enabled: bool = True  # False: P-SAM's masks as they are (Table 5, column Point)
    alpha: float = Field(default=5.0, ge=0)
    beta: float = Field(default=2.0, ge=0)
    tau_c: float = Field(default=0.1, ge=0, le=1)


DEFAULT_REFINE: Final = RefineConfig()


class PseudomaskConfig(Params):
    """From prompts to masks."""

    precision: Precision = "fp32"
    decode_prompts: int | None = Field(default=None, ge=1)
    images_per_block: int = runtime_field(default=16, ge=1)
    part_images: int = runtime_field(default=512, ge=1)  # images between two checkpoints
    workers: int | None = runtime_field(default=None, ge=0)
