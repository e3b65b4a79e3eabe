"""Torchvision's Mask R-CNN with a feature pyramid on any transformers backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, masks_to_boxes
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from omnicost.models.masks import encode
from omnicost.models.pixels import PIXEL_MEAN, PIXEL_STD
from omnicost.models.students.settings import MaskRCNNSettings
from omnicost.models.students.student import (
    ImageTargets,
    LazyPrediction,
    Prediction,
    Student,
    quiet,
)

MASK_THRESHOLD = 0.5


class PyramidOfBackbone(nn.Module):
    """Four stages of a transformers backbone to five levels of one width."""

    def __init__(self, backbone_config: Any, width: int) -> None:
        super().__init__()
        from transformers import AutoBackbone

        with quiet():
            self.body = AutoBackbone.from_config(backbone_config)
        self.pyramid = FeaturePyramidNetwork(self.body.channels, width, LastLevelMaxPool())
        self.out_channels = width

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Levels ``"0"`` to ``"3"`` and ``"pool"``, each ``(B, width, h, w)``."""
        stages = self.body(pixels).feature_maps
        named = OrderedDict((str(place), stage) for place, stage in enumerate(stages))
        levels: dict[str, torch.Tensor] = self.pyramid(named)
        return levels


class _OwnSize(GeneralizedRCNNTransform):
    """Normalises and pads; never resizes."""

    def resize(self, image: torch.Tensor, target: Any = None) -> tuple[torch.Tensor, Any]:
        """The picture as it is."""
        return image, target


class MaskRCNNStudent(Student):
    """Mask R-CNN (He et al. 2017); trained on pictures of the size that augmentation gave them."""

    settings: MaskRCNNSettings

    def __init__(self, settings: MaskRCNNSettings, num_classes: int, backbone_config: Any) -> None:
        super().__init__(settings, num_classes, backbone_config)
        self.network = _network(settings, num_classes, backbone_config)

    @property
    def backbone(self) -> nn.Module:
        """The feature extractor, without its pyramid."""
        body: nn.Module = self.network.backbone.body
        return body

    def loss(
        self, images: torch.Tensor, targets: Sequence[ImageTargets], world_size: int = 1
    ) -> dict[str, torch.Tensor]:
        """Torchvision's five losses, unweighted; instance weights are not read."""
        labelled = [
            {
                "boxes": _tight_boxes(target.masks),
                "labels": target.classes + 1,  # 0 is background
                "masks": target.masks,
            }
            for target in targets
        ]
        losses: dict[str, torch.Tensor] = self.network(list(images / 255.0), labelled)
        return losses

    @torch.no_grad()
    def draw(self, images: Sequence[np.ndarray]) -> Iterator[LazyPrediction]:
        """The instances over the score threshold in each picture."""
        device = next(self.parameters()).device
        for image in images:  # one at a time: torchvision pads pictures to the largest of a batch
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1) / 255.0
            yield partial(_prediction, self.network([pixels.to(device)])[0])


def _network(settings: MaskRCNNSettings, num_classes: int, backbone_config: Any) -> MaskRCNN:
    pooled, mask_width = 7, settings.mask_features
    network = MaskRCNN(
        PyramidOfBackbone(backbone_config, settings.width),
        rpn_anchor_generator=AnchorGenerator(
            tuple((size,) for size in settings.anchor_sizes),
            ((0.5, 1.0, 2.0),) * len(settings.anchor_sizes),
        ),
        rpn_post_nms_top_n_train=settings.proposals_train,
        rpn_post_nms_top_n_test=settings.proposals_test,
        box_head=TwoMLPHead(settings.width * pooled**2, settings.box_features),
        box_predictor=FastRCNNPredictor(settings.box_features, num_classes + 1),
        box_score_thresh=settings.min_score,
        box_detections_per_img=settings.detections,
        box_batch_size_per_image=settings.rois_per_image,
        mask_head=MaskRCNNHeads(settings.width, (mask_width,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(mask_width, mask_width, num_classes + 1),
    )
    network.transform = _transform(settings)
    return network


def _transform(settings: MaskRCNNSettings) -> GeneralizedRCNNTransform:
    mean = [value / 255 for value in PIXEL_MEAN]
    spread = [value / 255 for value in PIXEL_STD]
    edge, longest = settings.test_size.short_edge, settings.test_size.long_edge
    if edge is None:
        return _OwnSize(1, longest, mean, spread)
    # Augmentation has already set the size of training pictures.
    return GeneralizedRCNNTransform(edge, longest, mean, spread, _skip_resize=True)


def _tight_boxes(masks: torch.Tensor) -> torch.Tensor:
    """``(N, 4) float32`` boxes around ``(N, H, W)`` masks, right and bottom exclusive."""
    boxes = masks_to_boxes(masks)
    boxes[:, 2:] += 1
    return boxes


def _prediction(found: dict[str, torch.Tensor]) -> Prediction:
    return Prediction(
        tuple(encode(found["masks"][:, 0] > MASK_THRESHOLD)),
        found["labels"].cpu().numpy() - 1,
        found["scores"].cpu().numpy(),
    )
