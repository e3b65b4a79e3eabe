"""The released Mask2Former recipes, and the tiny world's, as plain values for `StudentConfig`."""

from __future__ import annotations

from typing import Any, Final

from omnicost.errors import InputError
from omnicost.models.students.settings import TINY_MASK2FORMER
from omnicost.published import PUBLISHED

SCHEDULES: Final = ("published", "paper-text", "short")

# Batches of 16 (facebookresearch/Mask2Former).
_PUBLISHED_STEPS: Final = {"coco": 368_750, "ade20k": 160_000, "cityscapes": 90_000}
_DROP_SHARES: Final = (327_778 / 368_750, 355_092 / 368_750)
_SHORT_SHARE: Final = 0.25  # ours: a quarter of the published schedule, same shape

# "50 epochs with batch size 32" (§4.1) of this many training images.
_IMAGES: Final = {name: PUBLISHED[name].images["train"] for name in _PUBLISHED_STEPS}
# From the whole pretrained tiny student, where 150 steps keep the order of cells after 450, as
# many spreads apart (LOG.md, 2026-11-26); or from the backbone and a fresh head.
_TINY: Final[dict[str, dict[str, Any]]] = {
    "tiny": {"steps": 150, "learning_rate": 1e-3},
    "tiny/scratch": {"steps": 1600, "learning_rate": 4e-3},
}


def preset_values(name: str) -> dict[str, Any]:
    """The settings of a preset: ``tiny``, ``tiny/scratch``, or ``<data set>/<schedule>``.

    Raises:
        InputError: if there is none of that name.
    """
    if name in _TINY:
        return _tiny(**_TINY[name])
    dataset, _, schedule = name.partition("/")
    if dataset not in _IMAGES or schedule not in SCHEDULES:
        known = ", ".join([*_TINY, *(f"{data}/{how}" for data in _IMAGES for how in SCHEDULES)])
        raise InputError("student.preset", f"no {name!r}", f"use {known}")
    return {**_recipe(dataset), "schedule": _schedule(dataset, schedule)}


def _schedule(dataset: str, name: str) -> dict[str, Any]:
    steps, batch = _PUBLISHED_STEPS[dataset], 16
    if name == "paper-text":
        batch = 32
        steps = round(50 * _IMAGES[dataset] / batch)
    elif name == "short":
        steps = round(steps * _SHORT_SHARE)
    if dataset == "coco":
        drops = [round(steps * share) for share in _DROP_SHARES]
        return {"steps": steps, "batch_images": batch, "decay": "step", "drop_at": drops}
    return {"steps": steps, "batch_images": batch, "decay": "poly", "drop_at": []}


def _recipe(dataset: str) -> dict[str, Any]:
    if dataset == "coco":
        return {}  # the defaults of every setting
    if dataset == "ade20k":
        return {
            "architecture": {
                "kind": "mask2former",
                "test_size": {"short_edge": 640, "long_edge": 2560},
            },
            "augment": _short_edge_views((640, 640), 640, 2560),
        }
    return {
        "architecture": {
            "kind": "mask2former",
            "freeze_batchnorm": False,
            "test_size": {"short_edge": 1024, "long_edge": 2048},
        },
        "augment": _short_edge_views((512, 1024), 1024, 4096),
    }


def _short_edge_views(crop: tuple[int, int], edge: int, long_edge: int) -> dict[str, Any]:
    """Short edges of 0.5 to 2.0 times an edge, in steps of 0.1."""
    edges = tuple(int(tenth * 0.1 * edge) for tenth in range(5, 21))
    views = {"crop": crop, "jitter": None, "short_edges": edges, "long_edge": long_edge}
    return {**views, "colour": True}


def _tiny(steps: int, learning_rate: float) -> dict[str, Any]:
    """A student of 64 x 64 pictures that a core trains in a minute or a few."""
    return {
        "architecture": TINY_MASK2FORMER.model_dump(),
        # The backbone at the released tenth of the rate; as pretrained, or at half the rate, AP is
        # lower after 800 steps from a fresh head (LOG.md, 2026-11-22).
        "optimizer": {"learning_rate": learning_rate, "clip_norm": None},
        "schedule": {
            "steps": steps,
            "batch_images": 8,
            "decay": "poly",
            "drop_at": [],
            "warmup_steps": 20,
        },
        "augment": {"crop": (64, 64), "jitter": (0.8, 1.25)},
        "precision": "fp32",
        "checkpoint_every": 200,
    }
