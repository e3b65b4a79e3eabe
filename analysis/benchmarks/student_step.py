"""Claim: our Mask2Former loss takes less time than transformers' on the tiny student.

The same network, the same pictures; one step ends in our criterion
(`models/students/criterion.py`), the other in transformers' own. CPU time of one thread: forward,
loss, backward.

    python analysis/benchmarks/student_step.py              # the tiny student, half a minute
    python analysis/benchmarks/student_step.py --size r50   # ResNet-50 at 512 x 512, 10 minutes
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
import typer

from omnicost.models.students.mask2former import Mask2FormerStudent
from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.student import ImageTargets
from omnicost.pipeline.student.config import StudentConfig

CLASSES = 12


class Case(NamedTuple):
    """What is trained, on how much."""

    settings: Mask2FormerSettings
    backbone: dict[str, object]  # ResNetConfig
    side: int
    images: int
    instances: int  # an image


def case(size: str) -> Case:
    """The tiny student, or ResNet-50's."""
    preset = StudentConfig.preset("tiny" if size == "tiny" else "coco/published").architecture
    assert isinstance(preset, Mask2FormerSettings)
    if size != "tiny":
        return Case(preset, {}, 512, 2, 8)
    small = {
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 96, 128],
        "depths": [2, 2, 1, 1],
        "layer_type": "basic",
    }
    return Case(preset, small, 64, 8, 4)


def steps(chosen: Case) -> dict[str, Callable[[], object]]:
    """A step with our loss, with transformers', and with neither."""
    from transformers import ResNetConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

    torch.manual_seed(0)
    config = ResNetConfig(**chosen.backbone, out_indices=[1, 2, 3, 4])
    model = Mask2FormerStudent(chosen.settings, CLASSES, config).train()
    side = chosen.side
    images = torch.randint(256, (chosen.images, 3, side, side), dtype=torch.uint8)
    targets = [
        ImageTargets(
            (torch.rand(chosen.instances, side, side) > 0.7).to(torch.uint8),
            torch.randint(CLASSES, (chosen.instances,)),
            torch.ones(chosen.instances),
        )
        for _ in range(chosen.images)
    ]
    model.network.config.num_labels = CLASSES
    reference = Mask2FormerLoss(model.network.config, {})
    floats = [target.masks.float() for target in targets]
    classes = [target.classes for target in targets]

    def ours() -> None:
        torch.stack(list(model(images, targets).values())).sum().backward()

    def transformers() -> None:
        masks, logits = model.outputs(images)
        earlier = [
            {"masks_queries_logits": mask, "class_queries_logits": logit}
            for mask, logit in zip(masks[:-1], logits[:-1], strict=True)
        ]
        losses = reference(masks[-1], logits[-1], floats, classes, earlier)
        torch.stack(list(losses.values())).sum().backward()

    def network() -> None:
        masks, logits = model.outputs(images)
        sum(part.sum() for part in (*masks, *logits)).backward()  # type: ignore[union-attr]

    return {"ours": ours, "transformers": transformers, "no loss": network}


def main(
    size: Annotated[str, typer.Option(help="tiny or r50.")] = "tiny",
    repeats: Annotated[int, typer.Option(help="Steps of each; the fastest counts.")] = 10,
) -> None:
    """Print the milliseconds of a step and the ratio of the losses' own share."""
    torch.set_num_threads(1)
    best: dict[str, float] = {}
    known = steps(case(size))
    for _ in range(repeats + 1):  # the first warms up
        for name, step in known.items():
            start = time.process_time()
            step()
            best[name] = min(best.get(name, float("inf")), 1e3 * (time.process_time() - start))
    share = {name: best[name] - best["no loss"] for name in ("ours", "transformers")}
    ratio = share["transformers"] / share["ours"]
    print(json.dumps({"size": size, "ms": best, "loss_ratio": ratio}, indent=1))


if __name__ == "__main__":
    typer.run(main)
