"""Backbones in torchvision's, timm's and detectron2's layouts: the same features, or one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from omnicost.errors import InputError
from omnicost.models.students.backbone import Backbone, read_backbone
from omnicost.resources import shipped

DEPTHS = {"basic": (BasicBlock, [2, 1, 1, 2]), "bottleneck": (Bottleneck, [1, 2, 1, 1])}


@pytest.fixture(scope="module", params=sorted(DEPTHS))
def resnet(request: pytest.FixtureRequest) -> ResNet:
    """A random ResNet of torchvision whose batch norms have something to say."""
    torch.manual_seed(0)
    model = ResNet(*DEPTHS[request.param])
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
    return model.eval()


def in_detectron2s_layout(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What detectron2's own converter makes of torchvision's names."""
    renamed = {}
    for name, value in weights.items():
        new = name if name.startswith("layer") else f"stem.{name}"
        new = re.sub(r"layer(\d)", lambda found: f"res{int(found[1]) + 1}", new)
        new = re.sub(r"bn(\d)", r"conv\1.norm", new)
        new = new.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        if "num_batches_tracked" not in new:
            renamed[new] = value
    return renamed


def features(backbone: Backbone, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    from transformers import ResNetBackbone

    model = ResNetBackbone(backbone.config)
    model.load_state_dict(dict(backbone.weights or {}))
    with torch.no_grad():
        return tuple(model.eval()(pixels).feature_maps)


def expected(model: ResNet, pixels: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = [model.maxpool(model.relu(model.bn1(model.conv1(pixels))))]
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            found.append(layer(found[-1]))
    return found[1:]


@pytest.mark.parametrize("layout", ["torchvision", "timm", "detectron2"])
def test_every_layout_gives_torchvisions_features(
    resnet: ResNet, layout: str, tmp_path: Path
) -> None:
    """All four stages are torchvision's own, to the last digits, whatever holds the weights."""
    weights, spec = resnet.state_dict(), tmp_path / "resnet.pth"
    if layout == "timm":
        spec = tmp_path
        save_file(weights, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet50"}))
    elif layout == "detectron2":
        torch.save({"model": in_detectron2s_layout(weights), "epoch": 3}, spec)
    else:
        torch.save(weights, spec)
    pixels = torch.randn(1, 3, 70, 90, generator=torch.Generator().manual_seed(1))
    found, wanted = features(read_backbone(str(spec)), pixels), expected(resnet, pixels)
    assert len(found) == len(wanted) == 4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_msras_resnet_is_refused(resnet: ResNet, tmp_path: Path) -> None:
    """Batch norms without statistics are MSRA's, whose pixels are BGR: one line with the remedy."""
    weights = in_detectron2s_layout(resnet.state_dict())
    torch.save(
        {name: w for name, w in weights.items() if "running" not in name}, tmp_path / "r.pth"
    )
    with pytest.raises(InputError, match=r"no statistics.*BGR.*timm/resnet50\.tv_in1k"):
        read_backbone(str(tmp_path / "r.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"encoder.weight": torch.zeros(2)}, r"'encoder\.weight' is in no ResNet"),
        ({"fc.weight": torch.zeros(2)}, "'no tensor' is in no ResNet"),
        (
            {"conv1.weight": torch.zeros(8, 3, 7, 7), "bn1.running_var": torch.zeros(8)},
            "stages are missing",
        ),
    ],
)
def test_what_is_no_resnet_is_one_line(
    content: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    """Another model's tensors, or a part of a ResNet, are named."""
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        read_backbone(str(tmp_path / "other.pth"))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a file of tensors"):
        read_backbone(str(tmp_path / "bad.safetensors"))


def test_the_papers_cards_name_torchvisions_backbone() -> None:
    """Mask2Former's released R-50 starts from IMAGENET1K_V1; so do the cards at paper scale."""
    from omnicost.sweep.cards.card import recipe_of
    from omnicost.sweep.cards.read_card import load_card

    assert (shipped("sweeps") / "coco.yaml").exists()
    for name in ("coco", "ade20k", "cityscapes"):
        cell = next(iter(load_card(name).cells()))
        assert recipe_of(cell).models.backbone == "timm/resnet50.tv_in1k"
