"""What a sweep costs before it runs: device time, disk and memory, with sharing and without.

Times of stages that ran before come from the store's manifests, per image that went through the
model; what never ran is priced with a prior, and the dry run says which is which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from omnicost.annotation import Policy
from omnicost.engine.execute import device_for
from omnicost.engine.graph import Graph, Stage
from omnicost.engine.params import Params
from omnicost.engine.passes import passes_of
from omnicost.engine.store import StageManifest, Store
from omnicost.models.teachers.size import Size
from omnicost.models.teachers.teacher import size_of
from omnicost.pipeline.config import EmbedConfig
from omnicost.sweep.card import Hardware
from omnicost.sweep.sources import WeightsSource
from omnicost.sweep.stage_functions import (
    STAGE_KINDS,
    DetectParams,
    EmbedParams,
    PseudomaskParams,
    StudentParams,
    TeacherParams,
)

GROUPS: Final[Mapping[str, str]] = {
    "embed": "embeddings",
    "detect": "detection",
    "teacher": "teachers",
    "pseudomask": "pseudo-masks",
    "quality": "scores",
    "student": "students",
    "evaluate": "scores",
}


class Prior(NamedTuple):
    """What a stage takes where nothing was timed.

    `seconds` is device time for an image that goes through the model once; `memory_gb` of a device
    is `memory_fixed` + `memory_image` for each image at once.
    """

    seconds: float
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
# One core, the embedded tiny models.
TINY_SCALE: Final[Mapping[str, Prior]] = {
    "embed": Prior(0.01, artefact_mb_image=0.05),
    "detect": Prior(0.06, artefact_mb_image=0.002),
    "teacher": Prior(0.02, artefact_mb_fixed=2.5),
    "pseudomask": Prior(0.03, artefact_mb_image=0.001),
    "quality": Prior(0.001, artefact_mb_fixed=0.01),
    "student": Prior(0.013, artefact_mb_fixed=4),
    "evaluate": Prior(0.008, artefact_mb_fixed=0.01),
}
# By crop, from the same source: 576, 146 and 100 GPU-hours for the three published schedules.
STUDENT_SECONDS: Final[Mapping[tuple[int, int], float]] = {
    (1024, 1024): 0.3515,
    (640, 640): 0.2055,
    (512, 1024): 0.25,
}
COMPILED_ATTENTION: Final = (
    "students are priced by their authors' times, with a compiled kernel for deformable attention; "
    "in plain PyTorch, as here, a step may take 30-50% more (the first recorded student tells)"
)
# facebook/sam-vit-huge, whose priors the above are.
VIT_H: Final = Size(6.37e8, 2.98e12, 1.34e9, 1_048_576, 2.68e8)
_TINY: Final = "tiny"  # name of the embedded models
_ZERO: Final = Prior(0.0)


class Hours(NamedTuple):
    """Device-hours of one group of stages."""

    naive: float
    shared: float
    left: float


@dataclass(frozen=True)
class SweepEstimate:
    """The figures of a dry run; hours are device-hours, days those of the card's hardware.

    Args:
        recorded: groups whose times come from stages that ran before.
        memory_gb: of a device, the most that a stage needs; by stage.
        assumptions: what the priors rest on, a line each.
    """

    cells: int
    stages: int
    naive_stages: int
    stages_left: int
    hours: Mapping[str, Hours]
    recorded: tuple[str, ...]
    disk_gb: float
    memory_gb: Mapping[str, float]
    hardware: Hardware
    assumptions: tuple[str, ...] = ()

    @property
    def total(self) -> Hours:
        """Sums over the groups."""
        return (
            Hours(*map(sum, zip(*self.hours.values(), strict=True)))
            if self.hours
            else Hours(0, 0, 0)
        )

    def days(self, device_hours: float) -> float:
        """Days that this many device-hours take on the card's hardware."""
        return device_hours / 24 / self.hardware.devices


class Likeness(NamedTuple):
    """What stages have in common whose time per image is alike.

    Args:
        manner: which captions a detector gets; a student's architecture and crop.
        weights: roles and fingerprints.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    manner: str
    weights: tuple[tuple[str, str], ...]
    device: str


class StageTimings:
    """Expected device seconds of stages: recorded where there are any, priors elsewhere."""

    def __init__(self, manifests: Iterable[StageManifest]) -> None:
        seconds: dict[Likeness, float] = defaultdict(float)
        units: dict[Likeness, float] = defaultdict(float)
        for each in manifests:
            kind = STAGE_KINDS.get(each.stage)
            params = kind.read(each.stage, each.params) if kind else None
            if each.units and params is not None:
                alike = _likeness(each.stage, params, each.device)
                seconds[alike] += each.wall_seconds * each.workers
                units[alike] += each.units
        # Of all together: long stages count for more than short ones, which mostly start up.
        self._rates = {alike: seconds[alike] / units[alike] for alike in seconds}

    @classmethod
    def of_store(cls, store: Store | None) -> StageTimings:
        """From everything that a store holds."""
        return cls([] if store is None else store.manifests())

    def is_recorded(self, stage: Stage) -> bool:
        """Whether stages like this one have been timed."""
        return _likeness_of(stage) in self._rates

    def rate(self, stage: Stage) -> float:
        """Device seconds per image through the model."""
        recorded = self._rates.get(_likeness_of(stage))
        return prior_of(stage).seconds if recorded is None else recorded

    def encode_rate(self, reader: Stage) -> float:
        """Device seconds to encode an image, for a stage that reads embeddings."""
        own = _likeness_of(reader)
        sam = tuple(each for each in own.weights if each[0] == "sam")
        embed = Likeness("embed", "", sam, own.device)
        return self._rates.get(embed, _scale(reader.priced_as)["embed"].seconds)

    def seconds(self, stage: Stage) -> float:
        """Device seconds of the whole stage."""
        return self.rate(stage) * (stage.units or 0.0)


def _likeness_of(stage: Stage) -> Likeness:
    return _likeness(stage.name, stage.params, device_for(stage))


def _likeness(name: str, params: Params, device: str) -> Likeness:
    manner = ""
    if isinstance(params, DetectParams):
        manner = params.mode
    elif isinstance(params, StudentParams):
        manner = f"{params.config.architecture} {params.config.augment.crop}"
    weights = tuple(sorted(weights_of(params).items()))
    return Likeness(name, manner, weights, device.partition(":")[0])


def weights_of(params: Params) -> dict[str, str]:
    """Fingerprints of all weights that a stage is told of, by role."""
    found: dict[str, str] = {}
    for role, value in params:
        if isinstance(value, WeightsSource):
            found[role] = value.fingerprint
        elif isinstance(value, Params):
            found |= weights_of(value)
    return found


def prior_of(stage: Stage) -> Prior:
    """The prior of a stage's scale."""
    prior = _scale(stage.priced_as).get(stage.name, _ZERO)
    if not isinstance(stage.params, StudentParams) or stage.priced_as == _TINY:
        return prior
    crop = stage.params.config.augment.crop
    return prior._replace(seconds=STUDENT_SECONDS.get(crop, prior.seconds))


@lru_cache
def _scale(model: str) -> Mapping[str, Prior]:
    """Priors for stages of a model; of a promptable one on this machine, by its size."""
    if model == _TINY:
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


def estimate(graph: Graph, store: Store | None, hardware: Hardware) -> SweepEstimate:
    """Price a graph.

    Without sharing every cell detects for itself, and its teacher and pseudo-masks encode each
    image whenever it comes up.
    """
    timings = StageTimings.of_store(store)
    done = (lambda key: False) if store is None else store.has
    needed = graph.needed(done)
    groups = dict.fromkeys([*GROUPS.values(), *map(_group, graph.stages.values())])
    hours: dict[str, list[float]] = {group: [0.0, 0.0, 0.0] for group in groups}
    encode = _encode_rate(graph, timings)
    for plan in graph.plans:
        for stage in plan.stages:
            hours[_group(stage)][0] += _naive_seconds(stage, timings, encode) / 3600
    for stage in graph.stages.values():
        hours[_group(stage)][1] += timings.seconds(stage) / 3600
        hours[_group(stage)][2] += timings.seconds(stage) / 3600 if stage.key in needed else 0.0
    left = [stage for key, stage in graph.stages.items() if key in needed]
    for column, stages in ((1, graph.stages.values()), (2, left)):
        passing = encode * _uncached_images(stages) / 3600
        if passing:
            hours[GROUPS["pseudomask"]][column] += passing
    recorded = {_group(stage) for stage in graph.stages.values() if timings.is_recorded(stage)}
    return SweepEstimate(
        cells=len(graph.plans),
        stages=len(graph.stages),
        naive_stages=graph.naive_count,
        stages_left=len(needed),
        hours={group: Hours(*values) for group, values in hours.items() if any(values)},
        recorded=tuple(sorted(recorded)),
        disk_gb=sum(disk_mb(graph.stages[key]) for key in needed) / 1e3,
        memory_gb=_memory(graph),
        hardware=hardware,
        assumptions=_assumptions(graph, timings),
    )


def _assumptions(graph: Graph, timings: StageTimings) -> tuple[str, ...]:
    """Ours is transformers' attention, which has no compiled kernel; no GPU has timed it yet."""
    by_authors_times = (
        isinstance(stage.params, StudentParams)
        and stage.priced_as != _TINY
        and not timings.is_recorded(stage)
        for stage in graph.stages.values()
    )
    return (COMPILED_ATTENTION,) if any(by_authors_times) else ()


def _group(stage: Stage) -> str:
    return GROUPS.get(stage.name, stage.name)


def _encode_rate(graph: Graph, timings: StageTimings) -> float:
    readers = ("embed", "teacher", "pseudomask")  # without a cache there is no embed stage
    found = (timings.encode_rate(s) for s in graph.stages.values() if s.name in readers)
    return next(found, 0.0)


def _naive_seconds(stage: Stage, timings: StageTimings, encode: float) -> float:
    if stage.name == "embed":
        return 0.0  # each reader encodes for itself
    extra = encode if stage.name in ("teacher", "pseudomask") else 0.0
    return (timings.rate(stage) + extra) * (stage.units or 0.0)


def _uncached_images(stages: Iterable[Stage]) -> float:
    """How many images pseudo-masks encode in passing, those of one pass once for all its stages."""
    drawn = [stage for stage in stages if isinstance(stage.params, PseudomaskParams)]
    together = passes_of(drawn)
    shared = {stage.key for each in together for stage in each}
    alone = [(stage,) for stage in drawn if stage.key not in shared]
    return sum(map(_encoded_in_passing, (*together, *alone)))


def _encoded_in_passing(stages: Sequence[Stage]) -> float:
    """Images that pseudo-masks of one pass encode: the types of a policy lie beside each other."""
    by_policy: dict[Policy, dict[str, float]] = defaultdict(dict)
    told = [(s, s.params) for s in stages if isinstance(s.params, PseudomaskParams)]
    for stage, params in told:
        by_policy[params.policy][params.annotation] = stage.units or 0.0
    images = max(sum(types.values()) for types in by_policy.values())
    first, params = told[0]
    return images * uncached_share(params.encoding.config, first.priced_as, images)


def uncached_share(embed: EmbedConfig, sam: str, images: float) -> float:
    """Share of the images whose embeddings do not fit the cache and are made in passing."""
    whole = images * _scale(sam)["embed"].artefact_mb_image
    return max(0.0, 1 - 1e3 * embed.limit_gigabytes / whole) if whole else 0.0


def disk_mb(stage: Stage) -> float:
    """Megabytes of the stage's artefact; embeddings stop at their limit."""
    prior = prior_of(stage)
    size = prior.artefact_mb_fixed + prior.artefact_mb_image * (stage.units or 0.0)
    if isinstance(stage.params, EmbedParams):
        return min(size, 1e3 * stage.params.config.limit_gigabytes)
    return size


def _memory(graph: Graph) -> dict[str, float]:
    """Gigabytes that each kind of stage needs on a device."""
    needs: dict[str, float] = {}
    for stage in graph.stages.values():
        prior = prior_of(stage)
        at_once = _images_at_once(stage.params) / stage.resources.workers
        need = prior.memory_fixed + prior.memory_image * at_once
        needs[stage.name] = max(needs.get(stage.name, 0.0), need)
    return needs


def _images_at_once(params: Params) -> int:
    if isinstance(params, StudentParams):
        return params.config.micro_batch_images or params.config.schedule.batch_images
    if isinstance(params, TeacherParams):
        return params.tuning.config.batch_images if params.tuning else 1
    return params.config.batch_images if isinstance(params, EmbedParams | DetectParams) else 1
