"""What a student is made of: architectures as plain settings, light (no torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InferenceSize(_Settings):
    """How large a picture is when the student predicts."""

    short_edge: int | None = Field(default=800, gt=0, description="None: the picture's own size")
    long_edge: int = Field(default=1333, gt=0, description="no longer than this")


class Mask2FormerSettings(_Settings):
    """Mask2Former as released (facebookresearch/Mask2Former, COCO instance, R50)."""

    kind: Literal["mask2former"] = "mask2former"
    freeze_batchnorm: bool = True  # COCO and ADE20K recipes; Cityscapes trains it
    queries: int = Field(default=100, gt=0)
    encoder_layers: int = Field(default=6, gt=0)
    decoder_layers: int = Field(
        default=9, gt=0, description="without the loss on the learnable queries"
    )
    width: int = Field(default=256, gt=0, multiple_of=32)
    heads: int = Field(default=8, gt=0)
    encoder_feedforward: int = Field(default=1024, gt=0)
    decoder_feedforward: int = Field(default=2048, gt=0)
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    points: int = Field(default=12_544, gt=0)
    oversample_ratio: float = Field(default=3.0, ge=1)
    importance_ratio: float = Field(default=0.75, ge=0, le=1)
    detections: int = Field(default=100, gt=0, description="kept an image, over queries x classes")
    test_size: InferenceSize = InferenceSize()


# Of 64 x 64 pictures; the tiny student that travels with the package is this.
TINY_MASK2FORMER = Mask2FormerSettings(
    queries=20,
    encoder_layers=1,
    decoder_layers=3,
    width=64,
    heads=4,
    encoder_feedforward=128,
    decoder_feedforward=128,
    points=256,  # the masks have 16 x 16 cells
    test_size=InferenceSize(short_edge=None),
)


class MaskRCNNSettings(_Settings):
    """Torchvision's Mask R-CNN with a feature pyramid on any backbone."""

    kind: Literal["maskrcnn"] = "maskrcnn"
    freeze_batchnorm: bool = True
    width: int = Field(default=256, gt=0)
    anchor_sizes: tuple[int, ...] = Field(
        default=(32, 64, 128, 256, 512), description="one a level"
    )
    box_features: int = Field(default=1024, gt=0)
    mask_features: int = Field(default=256, gt=0)
    proposals_train: int = Field(default=2000, gt=0)
    proposals_test: int = Field(default=1000, gt=0)
    rois_per_image: int = Field(default=512, gt=0)
    min_score: float = Field(default=0.05, ge=0, lt=1)
    detections: int = Field(default=100, gt=0)
    test_size: InferenceSize = InferenceSize()


class Detectron2Settings(_Settings):
    """Any instance segmenter of detectron2's model zoo, trained by detectron2's own trainer."""

    kind: Literal["detectron2"] = "detectron2"
    zoo_config: str = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    weights: str = Field(default="", description="checkpoint file; empty: random weights")
    overrides: tuple[str, ...] = Field(
        default=(), description="detectron2 KEY, VALUE, KEY, VALUE, ..."
    )


Architecture = Annotated[
    Mask2FormerSettings | MaskRCNNSettings | Detectron2Settings, Field(discriminator="kind")
]
