"""A whole trained Mask2Former as a student's start, in transformers' format.

`read_start` reads ``tiny``, a hub id, a folder or a file that `student.save` wrote; `begin_from`
puts it into a student, whose class head starts at zero where the classes differ; `write_folder`
writes a student as such a folder, which transformers itself reads too.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from omnicost.errors import InputError, MissingError, OmnicostError
from omnicost.models.loading import read_folder, resolve
from omnicost.models.students.backbone import Backbone
from omnicost.models.students.mask2former import SHAPE, UNCOUNTED_LAYERS
from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.student import Student, load, quiet
from omnicost.published import PUBLISHED

HEAD: Final = "class_predictor."
# What released models have and a student's settings do not say.
_FIXED: Final = ("pre_norm", "common_stride", "activation_function", "enforce_input_projection")
# facebook/mask2former-swin-tiny-coco-instance and its kin; classes that no other data set has.
_NAMED: Final = {
    "coco": re.compile(r"mask2former.*-coco\b", re.IGNORECASE),
    "ade20k": re.compile(r"mask2former.*-ade\b", re.IGNORECASE),
    "cityscapes": re.compile(r"mask2former.*-cityscapes\b", re.IGNORECASE),
}
_OWN_CLASSES: Final = {
    "coco": {"sports ball", "hair drier", "wine glass"},
    "ade20k": {"screen door", "arcade machine", "pool table"},
    "cityscapes": set(PUBLISHED["cityscapes"].categories.values()),
}


class Start(NamedTuple):
    """A trained student: its backbone's config, all its weights, and what its head tells apart."""

    spec: str
    shape: Mapping[str, int]  # by setting
    backbone: Backbone
    weights: Mapping[str, torch.Tensor]  # by a `Mask2FormerStudent`'s names
    class_names: tuple[str, ...]  # of the head's outputs; empty where the file does not say


def read_start(spec: str) -> Start:
    """The trained student that a spec stands for.

    Raises:
        MissingError: if it is not on this machine.
        InputError: if it is damaged, or another model's.
    """
    path = resolve(spec, "student")
    if path.is_file() and path.suffix == ".safetensors":
        return _from_file(spec, path)
    from transformers import Mask2FormerForUniversalSegmentation

    model = read_folder(Mask2FormerForUniversalSegmentation.from_pretrained, path, "student")
    return _from_transformers(spec, model)


def _from_file(spec: str, path: Path) -> Start:
    try:
        student = load(path)
    except MissingError:
        raise InputError(
            f"student weights {spec}", "damaged, or not a file of tensors", "name a student's file"
        ) from None
    settings = student.settings
    if not isinstance(settings, Mask2FormerSettings):
        raise InputError(f"student weights {spec}", f"a {settings.kind}", "name a mask2former")
    shape = {name: getattr(settings, name) for name in SHAPE}
    return Start(spec, shape, Backbone(student.backbone_config), student.state_dict(), ())


def _from_transformers(spec: str, model: Any) -> Start:
    from transformers import Mask2FormerConfig

    config, usual = model.config, Mask2FormerConfig()
    unusual = [name for name in _FIXED if getattr(config, name) != getattr(usual, name)]
    widths = {config.hidden_dim, config.feature_size, config.mask_feature_size}
    if unusual or len(widths) > 1:
        what = f"{unusual[0]} is {getattr(config, unusual[0])}" if unusual else f"widths {widths}"
        raise InputError(f"student weights {spec}", f"{what}, which no student has", "use another")
    shape = {name: getattr(config, attribute) for name, attribute in SHAPE.items()}
    shape["decoder_layers"] -= UNCOUNTED_LAYERS
    names = (config.id2label[place] for place in range(len(config.id2label)))
    weights = {
        name.replace("model.", "network.", 1) if name.startswith("model.") else name: value
        for name, value in model.state_dict().items()
        if not name.startswith("criterion.")
    }
    return Start(spec, shape, Backbone(config.backbone_config), weights, tuple(names))


def check_shape(start: Start, settings: Mask2FormerSettings) -> None:
    """Refuse settings that are not those of the start.

    Raises:
        InputError: naming every setting that differs and its value in the start.
    """
    wrong = {name: value for name, value in start.shape.items() if getattr(settings, name) != value}
    if wrong:
        raise InputError(
            "student.architecture",
            ", ".join(f"{name} is {getattr(settings, name)}" for name in wrong),
            f"models.student {start.spec} has {', '.join(f'{n}: {v}' for n, v in wrong.items())}",
        )


def begin_from(student: Student, start: Start, class_names: Sequence[str]) -> None:
    """Put the start's weights into a student; its class head only where the classes are the same.

    Classes in another order are put in order. With any other class the head is all zeros: every
    class as likely as another, where a drawn head moves a short training by its draw.
    """
    weights = dict(start.weights)
    if set(class_names) == set(start.class_names) and len(class_names) == len(start.class_names):
        rows = [*map(start.class_names.index, class_names), len(class_names)]  # "no object" last
        for name in (f"{HEAD}weight", f"{HEAD}bias"):
            weights[name] = weights[name][rows]
    else:
        own = student.state_dict()
        weights |= {name: torch.zeros_like(own[name]) for name in own if name.startswith(HEAD)}
    student.load_state_dict(weights)


def write_folder(student: Student, class_names: Sequence[str], folder: Path) -> None:
    """Write a Mask2Former student as transformers does, its weights in half precision.

    The config asks for single precision, so that they are loaded as such.
    """
    from transformers import Mask2FormerForUniversalSegmentation

    network: Any = student.network
    config = network.config
    names = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
    }
    config = type(config).from_dict({**config.to_dict(), **names})
    config.backbone_config.name_or_path = ""  # of this machine
    with quiet():
        model = Mask2FormerForUniversalSegmentation(config)
        model.model.load_state_dict(network.state_dict())
        model.class_predictor = student.class_predictor
        model.save_pretrained(folder, state_dict=copy.deepcopy(model).half().state_dict())


def seen_by(spec: str) -> tuple[str, ...]:
    """The published data sets from whose masks a trained student is known to have learnt.

    Known by the authors' name for it, or, under any other, by the classes that it tells apart.
    """
    named = {name for name, pattern in _NAMED.items() if pattern.search(spec)}
    classes = _classes_of(spec)
    return tuple(sorted(named | {name for name, own in _OWN_CLASSES.items() if own <= classes}))


def _classes_of(spec: str) -> set[str]:
    try:
        config = json.loads((resolve(spec, "student") / "config.json").read_text())
        return set(config["id2label"].values())
    except (OmnicostError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
