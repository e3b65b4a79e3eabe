import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from student_world import make_backbone, make_dataset, tiny_values

from omnicost.annotation import AnnotationType
from omnicost.models.students import maskrcnn
from omnicost.models.students import student as interface
from omnicost.models.students.settings import MaskRCNNSettings
from omnicost.models.students.student import ImageTargets
from omnicost.pipeline import evaluate
from omnicost.pipeline.student import train as student
from omnicost.pipeline.student.config import StudentConfig

SMALL: dict[str, Any] = {
    "kind": "maskrcnn",
    "width": 16,
    "anchor_sizes": [8, 16, 24, 32, 48],
    "box_features": 32,
    "mask_features": 16,
    "proposals_train": 100,
    "proposals_test": 60,
    "rois_per_image": 32,
    "test_size": {"short_edge": None},
}

ALL_MASKS = np.full(6, AnnotationType.MASK.strength)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def test_trains_resumes_and_is_scored(backbone: str, tmp_path: Path) -> None:
    """The same pipeline steps run it: same weights after an interruption, and an AP at the end."""
    dataset = make_dataset(tmp_path / "pictures")
    values = {**tiny_values(steps=4), "architecture": SMALL, "checkpoint_every": 2}
    config = StudentConfig.model_validate(values)

    def train(folder: Path, report: Any) -> bytes:
        folder.mkdir(exist_ok=True)
        student.run(
            dataset, ALL_MASKS, [], config, backbone=backbone, seed=0, out=folder,
            work=folder / "work", device="cpu", report=report,
        )  # fmt: skip
        return (folder / student.WEIGHTS).read_bytes()

    def stop(done: int, total: int, figures: dict[str, Any]) -> None:
        assert {"loss_mask", "loss_box_reg", "loss_objectness"} <= set(figures)
        if done == 3:
            raise InterruptedError

    whole = train(tmp_path / "whole", lambda *figures: None)
    with pytest.raises(InterruptedError):
        train(tmp_path / "broken", stop)
    assert train(tmp_path / "broken", lambda *figures: None) == whole
    evaluate.run(
        dataset, tmp_path / "whole" / student.WEIGHTS, out=tmp_path, device="cpu",
        report=lambda *figures: None,
    )  # fmt: skip
    assert json.loads((tmp_path / "metrics.json").read_text())["AP"] is not None


def test_boxes_are_right_exclusive() -> None:
    """A mask of columns 3 to 7 and rows 2 to 4 has the box 3 2 8 5."""
    mask = torch.zeros(1, 10, 10, dtype=torch.uint8)
    mask[0, 2:5, 3:8] = 1
    assert maskrcnn._tight_boxes(mask).tolist() == [[3, 2, 8, 5]]


def test_images_without_instances_still_teach(backbone: str) -> None:
    """An image that shows nothing has losses too: all of it is background."""
    settings = MaskRCNNSettings.model_validate(SMALL)
    model = interface.build(settings, 3, backbone)
    nothing = ImageTargets(
        torch.zeros(0, 64, 64, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    )
    losses = model(torch.full((1, 3, 64, 64), 100, dtype=torch.uint8), [nothing])
    assert torch.isfinite(sum(losses.values()))  # type: ignore[arg-type]


def test_predictions_have_the_pictures_size(backbone: str) -> None:
    """Whatever size it looks at, its masks are of the picture's own."""
    values = {**SMALL, "min_score": 0.0, "test_size": {"short_edge": 96, "long_edge": 120}}
    model = interface.build(MaskRCNNSettings.model_validate(values), 3, backbone).eval()
    found = model.predict([np.full((50, 70, 3), 90, np.uint8)])[0]
    assert len(found.rles) > 0
    assert {tuple(rle["size"]) for rle in found.rles} == {(50, 70)}
    assert set(found.class_indices.tolist()) <= {0, 1, 2}


def test_score_weights_are_refused() -> None:
    """Mask R-CNN reads no instance weights, so asking for them is a fault."""
    with pytest.raises(ValidationError, match="maskrcnn has no losses of single instances"):
        StudentConfig.model_validate(
            {"architecture": {"kind": "maskrcnn"}, "pseudo_weight": "score"}
        )


def test_defaults_are_torchvisions() -> None:
    """The full-size model has the shapes of torchvision's own ResNet-50 FPN model."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn
    from transformers import ResNetConfig

    ours = maskrcnn.MaskRCNNStudent(MaskRCNNSettings(), 90, ResNetConfig(out_indices=[1, 2, 3, 4]))
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)

    def shapes(module: Any) -> dict[str, Any]:
        return {name: tuple(value.shape) for name, value in module.state_dict().items()}

    for part in ("rpn", "roi_heads"):
        assert shapes(getattr(ours.network, part)) == shapes(getattr(theirs, part))
    transform, reference = ours.network.transform, theirs.transform
    assert (transform.min_size, transform.max_size) == (reference.min_size, reference.max_size)
