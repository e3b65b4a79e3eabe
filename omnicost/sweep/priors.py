"""What stages take where nothing was timed: by published throughputs, or by ours on one core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from omnicost.engine.graph import Stage
from omnicost.models.teachers.size import Size, size_of
from omnicost.sweep.stages.stage_params import StudentParams


class Prior(NamedTuple):
    """What a stage takes where nothing was timed.

    `seconds` is device time for an image that goes through the model once, `seconds_megapixel` for
    each of its megapixels, `seconds_fixed` for a stage; `memory_gb` of a device is `memory_fixed` +
    `memory_image` for each image at once.
    """

    seconds: float
    seconds_megapixel: float = 0.0
    seconds_fixed: float = 0.0
    artefact_mb_fixed: float = 0.0
    artefact_mb_image: float = 0.0
    memory_fixed: float = 0.5
    memory_image: float = 0.0


# An A10 or V100. Student: the author's 3 days on 8 V100 for 368,750 batches of 16. The others are
# arithmetic from throughputs of that class of device: 24 teachers of 36,874 batches of 32 take
# about 200 GPU-hours on cached embeddings, and ViT-H encodes 6-7 images a second. Memory from
# memory of the released configurations: 2 images of 1024 x 1024 fit 16 GB in mixed precision.
PAPER_SCALE: Final[Mapping[str, Prior]] = {
    "embed": Prior(0.15, artefact_mb_image=2.1, memory_fixed=3.0, memory_image=0.6),
    "detect": Prior(0.10, artefact_mb_image=0.002, memory_fixed=1.5, memory_image=0.8),
    "teacher": Prior(0.0254, artefact_mb_fixed=20, memory_fixed=3.0, memory_image=0.25),
    "pseudomask": Prior(0.0132, artefact_mb_image=0.003, memory_fixed=4.0),
    "quality": Prior(0.001, artefact_mb_fixed=0.01, memory_fixed=1.0),
    "student": Prior(0.3515, artefact_mb_fixed=180, memory_fixed=1.5, memory_image=6.5),
    "evaluate": Prior(0.10, artefact_mb_fixed=0.01, memory_fixed=3.0),
}
# One core, the embedded tiny models: by image of the tiny world, over a demo's 77 stages, and
# by megapixel of photos, over a trial run on 40 of COCO's (LOG.md, 2026-11-26).
TINY_SCALE: Final[Mapping[str, Prior]] = {
    "embed": Prior(0.019, 0.1, 0.5, artefact_mb_image=0.05),
    "detect": Prior(0.035, 0.1, 0.5, artefact_mb_image=0.002),
    "teacher": Prior(0.031, 0.1, 2.5, artefact_mb_fixed=2.5),
    "pseudomask": Prior(0.015, 0.1, 0.5, artefact_mb_image=0.001),
    "quality": Prior(0.0007, 0.005, artefact_mb_fixed=0.01),
    "student": Prior(0.0195, 0.02, artefact_mb_fixed=4),
    "evaluate": Prior(0.002, 1.2, 0.3, artefact_mb_fixed=0.01),
}
# By crop, from the same source: 576, 146 and 100 GPU-hours for the three published schedules.
STUDENT_SECONDS: Final[Mapping[tuple[int, int], float]] = {
    (1024, 1024): 0.3515,
    (640, 640): 0.2055,
    (512, 1024): 0.25,
}
# facebook/sam-vit-huge, whose priors the above are.
VIT_H: Final = Size(6.37e8, 2.98e12, 1.41e9, 1_048_576, 2.68e8)
TINY: Final = "tiny"  # name of the embedded models


def prior_of(stage: Stage) -> Prior:
    """The prior of a stage's scale."""
    prior = scale_of(stage.priced_as).get(stage.name, Prior(0.0))
    if not isinstance(stage.params, StudentParams) or stage.priced_as == TINY:
        return prior
    crop = stage.params.config.augment.crop
    return prior._replace(seconds=STUDENT_SECONDS.get(crop, prior.seconds))


@lru_cache
def scale_of(model: str) -> Mapping[str, Prior]:
    """Priors for stages of a model; of a promptable one on this machine, by its size."""
    if model == TINY:
        return TINY_SCALE
    size = size_of(model)
    return PAPER_SCALE if size is None else _sized(size)


def _sized(size: Size) -> Mapping[str, Prior]:
    """The paper's scale, which is ViT-H's, for a model of another size."""
    more_gb = 4e-9 * (size.parameters - VIT_H.parameters)
    encode = size.encode_macs / VIT_H.encode_macs
    decode = size.decode_macs / VIT_H.decode_macs
    activations = size.largest_tensor / VIT_H.largest_tensor
    embed, teacher, drawn = (PAPER_SCALE[name] for name in ("embed", "teacher", "pseudomask"))
    return {
        **PAPER_SCALE,
        "embed": embed._replace(
            seconds=embed.seconds * encode,
            artefact_mb_image=2e-6 * size.cached_numbers,
            memory_fixed=embed.memory_fixed + more_gb,
            memory_image=embed.memory_image * activations,
        ),
        "teacher": teacher._replace(
            seconds=teacher.seconds * decode,
            memory_fixed=teacher.memory_fixed + more_gb,
            memory_image=teacher.memory_image * decode,
        ),
        "pseudomask": drawn._replace(
            seconds=drawn.seconds * decode, memory_fixed=drawn.memory_fixed + more_gb
        ),
    }
