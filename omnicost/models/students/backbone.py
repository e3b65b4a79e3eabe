"""What a student's backbone is, and the formats that it is read from.

Beside transformers' own these are ResNets in torchvision's and detectron2's layouts. Mask2Former
was released on torchvision's IMAGENET1K_V1, in detectron2's layout: RGB pixels with ImageNet's mean
and spread, and the stride in the 3 x 3 convolution, as in transformers. The other R-50 of
detectron2, MSRA's, wants BGR without a spread and the stride in the first 1 x 1; its batch norms
come without statistics, by which it is known and refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from omnicost.errors import InputError
from omnicost.models.loading import fill, read_folder, read_pth, resolve

STAGES: Final = [1, 2, 3, 4]  # of a backbone, at strides 4, 8, 16 and 32
_HEADS: Final = ("fc.", "stem.fc.", "linear.")
_STEM: Final = {
    "conv1.": "convolution.",
    "bn1.": "normalization.",
    "stem.conv1.norm.": "normalization.",
    "stem.conv1.": "convolution.",
}
# layer1.0.conv1.weight, layer1.0.bn1.bias, layer1.0.downsample.0.weight; in detectron2's layout
# res2.0.conv1.weight, res2.0.conv1.norm.bias, res2.0.shortcut.norm.bias
_BLOCK: Final = re.compile(
    r"(layer|res)(\d)\.(\d+)\.(?:(?:conv|bn)(\d)|downsample\.\d|shortcut)(?:\.norm)?\.(\w+)$"
)
_NORM: Final = re.compile(r"\.(bn\d|downsample\.1|norm)\.")
_FIRST_STAGE: Final = {"layer": 1, "res": 2}


class Backbone(NamedTuple):
    """A transformers backbone: its config, and its weights unless a file brings them later."""

    config: Any  # transformers.PretrainedConfig of an AutoBackbone
    weights: Mapping[str, torch.Tensor] | None = None


def read_backbone(spec: str) -> Backbone:
    """Config and weights of a released or tiny backbone, all its stages given out.

    In transformers' format, or a ResNet in torchvision's or detectron2's.

    Raises:
        MissingError: if it is not on this machine.
        InputError: if it is damaged, or another model's.
    """
    # AutoBackbone itself asks the hub about every folder.
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    path = resolve(spec, "backbone")
    if is_resnet(path):
        return _read_resnet(path)

    def read(folder: Path, **options: Any) -> Any:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, out_indices=STAGES)
        return MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(
            folder, config=config, **options
        )

    module = read_folder(read, path, "backbone")
    return Backbone(module.config, module.state_dict())


def is_resnet(path: Path) -> bool:
    """Whether a file, or a folder as timm writes one, may hold a ResNet in these layouts."""
    if path.is_file():
        return path.suffix in (".pth", ".safetensors")
    try:
        config = json.loads((path / "config.json").read_text())
        return "model_type" not in config and str(config["architecture"]).startswith("resnet")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read_resnet(path: Path) -> Backbone:
    """Config and weights of a ResNet; its classifier is left out.

    Raises:
        InputError: if the file is damaged, no ResNet, or one that expects other pixels.
    """
    from transformers import ResNetBackbone

    weights = _renamed(_tensors(path), path)
    if not any(name.endswith("running_var") for name in weights):
        raise InputError(
            f"backbone weights {path}",
            "its batch norms have no statistics, as in MSRA's R-50, which expects BGR pixels",
            "use torchvision's IMAGENET1K_V1 (timm/resnet50.tv_in1k)",
        )
    model = ResNetBackbone(_config(weights, path))
    counted = {name: value for name, value in model.state_dict().items() if "tracked" in name}
    fill(model, {**counted, **weights}, path, "backbone")
    return Backbone(model.config, model.state_dict())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path if path.is_file() else path / "model.safetensors"
    if file.suffix == ".pth":
        return read_pth(file, "backbone")
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        raise InputError(
            f"backbone weights {path}", "damaged, or not a file of tensors", "download it again"
        ) from None


def _renamed(weights: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The same tensors by transformers' names."""
    kept = {name: value for name, value in weights.items() if not name.startswith(_HEADS)}
    renamed = {_name(name): value for name, value in kept.items()}
    if not kept or None in renamed:
        lost = next((name for name in kept if _name(name) is None), "no tensor")
        raise InputError(
            f"backbone weights {path}",
            f"{lost!r} is in no ResNet of torchvision or detectron2",
            "name a ResNet's .pth or .safetensors, or a folder in transformers' format",
        )
    return {str(name): value for name, value in renamed.items()}


def _name(name: str) -> str | None:
    for prefix, part in _STEM.items():
        if name.startswith(prefix):
            return f"embedder.embedder.{part}{name.removeprefix(prefix)}"
    if found := _BLOCK.match(name):
        layout, number, layer, convolution, last = found.groups()
        stage = int(number) - _FIRST_STAGE[layout]
        place = f"layer.{int(convolution) - 1}" if convolution else "shortcut"
        part = "normalization" if _NORM.search(name) else "convolution"
        return f"encoder.stages.{stage}.layers.{layer}.{place}.{part}.{last}"
    return None


def _config(weights: Mapping[str, torch.Tensor], path: Path) -> Any:
    """The shape of a ResNet, from that of its tensors."""
    from transformers import ResNetConfig

    blocks = [name.split(".") for name in weights if name.startswith("encoder.stages.")]
    stages = range(len(STAGES))
    depths = [
        1 + max([int(p[4]) for p in blocks if int(p[2]) == stage], default=-1) for stage in stages
    ]
    last = 1 + max([int(p[6]) for p in blocks if p[5] == "layer"], default=0)
    ends = [
        f"encoder.stages.{stage}.layers.0.layer.{last - 1}.convolution.weight" for stage in stages
    ]
    stem = "embedder.embedder.convolution.weight"
    if not all(name in weights for name in (stem, *ends)):
        raise InputError(f"backbone weights {path}", "stages are missing", "get the weights again")
    return ResNetConfig(
        embedding_size=len(weights[stem]),
        hidden_sizes=[len(weights[name]) for name in ends],
        depths=depths,
        layer_type="basic" if last == 2 else "bottleneck",
        out_indices=STAGES,
    )
