"""What a student is made of: architectures as plain settings, light (no torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TestSize(_Settings):
    """How large a picture is when the student predicts."""

    __test__ = False  # not a test, whatever its name says to pytest

    short_edge: int | None = Field(800, gt=0, description="None: the picture's own size")
    long_edge: int = Field(1333, gt=0, description="no longer than this")


class Mask2FormerSettings(_Settings):
    """Mask2Former as released (facebookresearch/Mask2Former, COCO instance, R50)."""

    kind: Literal["mask2former"] = "mask2former"
    freeze_batchnorm: bool = True  # COCO and ADE20K recipes; Cityscapes trains it
    queries: int = Field(100, gt=0)
    encoder_layers: int = Field(6, gt=0)
    decoder_layers: int = Field(9, gt=0, description="without the loss on the learnable queries")
    width: int = Field(256, gt=0, multiple_of=32)
    heads: int = Field(8, gt=0)
    encoder_feedforward: int = Field(1024, gt=0)
    decoder_feedforward: int = Field(2048, gt=0)
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    points: int = Field(12_544, gt=0)
    oversample_ratio: float = Field(3.0, ge=1)
    importance_ratio: float = Field(0.75, ge=0, le=1)
    detections: int = Field(100, gt=0, description="kept an image, over queries x classes")
    test_size: TestSize = TestSize()


class MaskRCNNSettings(_Settings):
    """Torchvision's Mask R-CNN with a feature pyramid on any backbone."""

    kind: Literal["maskrcnn"] = "maskrcnn"
    freeze_batchnorm: bool = True
    width: int = Field(256, gt=0)
    anchor_sizes: tuple[int, ...] = Field((32, 64, 128, 256, 512), description="one a level")
    box_features: int = Field(1024, gt=0)
    mask_features: int = Field(256, gt=0)
    proposals_train: int = Field(2000, gt=0)
    proposals_test: int = Field(1000, gt=0)
    rois_per_image: int = Field(512, gt=0)
    min_score: float = Field(0.05, ge=0, lt=1)
    detections: int = Field(100, gt=0)
    test_size: TestSize = TestSize()


class Detectron2Settings(_Settings):
    """Any instance segmenter of detectron2's model zoo, trained by detectron2's own trainer."""

    kind: Literal["detectron2"] = "detectron2"
    zoo_config: str = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    weights: str = Field("", description="checkpoint file; empty: random weights")
    overrides: tuple[str, ...] = Field((), description="detectron2 KEY, VALUE, KEY, VALUE, ...")


Architecture = Annotated[
    Mask2FormerSettings | MaskRCNNSettings | Detectron2Settings, Field(discriminator="kind")
]
