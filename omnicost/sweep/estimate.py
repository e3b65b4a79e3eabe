"""What a sweep costs before it runs: device time, disk and memory, with sharing and without.

Times of stages that ran before come from the store's manifests, per image that went through the
model; what never ran is priced with a prior, and the dry run says which is which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final, NamedTuple

from omnicost.annotation import Policy
from omnicost.engine.execute import device_for
from omnicost.engine.graph import Graph, Stage
from omnicost.engine.manifest import StageManifest
from omnicost.engine.params import Params
from omnicost.engine.passes import passes_of
from omnicost.engine.store import Store
from omnicost.pipeline.config import EmbedConfig
from omnicost.sweep.cards.card import Hardware
from omnicost.sweep.priors import TINY, Prior, prior_of, scale_of
from omnicost.sweep.sources import WeightsSource
from omnicost.sweep.stages.stage_functions import STAGE_KINDS
from omnicost.sweep.stages.stage_params import (
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
    "assign": "scores",
    "calibrate": "scores",
    "student": "students",
    "evaluate": "scores",
}
# Ours is transformers' deformable attention, which no GPU has timed yet: as others report, a step's
# time without the authors' compiled kernel over that with it.
PLAIN_PYTORCH: Final = (1.3, 1.5)


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
        return Hours(*map(sum, zip(Hours(0, 0, 0), *self.hours.values(), strict=True)))

    def days(self, device_hours: float) -> float:
        """Days that this many device-hours take on the card's hardware."""
        return device_hours / 24 / self.hardware.devices


class Likeness(NamedTuple):
    """What stages have in common whose time per image is alike.

    Args:
        manner: which captions a detector gets; a student's architecture and crop.
        weights: roles and fingerprints.
        device: ``cpu`` or ``cuda``.
        size: log2 of an image's megapixels, rounded; None where they are not known.
    """

    name: str
    manner: str
    weights: tuple[tuple[str, str], ...]
    device: str
    size: int | None


class StageTimings:
    """Expected device seconds of stages: recorded where there are any, priors elsewhere."""

    def __init__(self, manifests: Iterable[StageManifest]) -> None:
        seconds: dict[Likeness, float] = defaultdict(float)
        units: dict[Likeness, float] = defaultdict(float)
        for each in manifests:
            kind = STAGE_KINDS.get(each.stage)
            params = kind.read(each.stage, each.params) if kind else None
            if each.units and params is not None:
                alike = _likeness(each.stage, params, each.device, each.unit_size)
                seconds[alike] += each.device_seconds
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
        return _guessed(prior_of(stage), stage.unit_size) if recorded is None else recorded

    def encode_rate(self, reader: Stage) -> float:
        """Device seconds to encode an image, for a stage that reads embeddings."""
        own = _likeness_of(reader)
        sam = tuple(each for each in own.weights if each[0] == "sam")
        embed = Likeness("embed", "", sam, own.device, own.size)
        prior = scale_of(reader.priced_as)["embed"]
        return self._rates.get(embed, _guessed(prior, reader.unit_size))

    def seconds(self, stage: Stage) -> float:
        """Device seconds of the whole stage."""
        if not stage.units:
            return 0.0
        fixed = 0.0 if self.is_recorded(stage) else prior_of(stage).seconds_fixed
        return fixed + self.rate(stage) * stage.units


def _guessed(prior: Prior, megapixels: float | None) -> float:
    return prior.seconds + prior.seconds_megapixel * (megapixels or 0.0)


def _likeness_of(stage: Stage) -> Likeness:
    return _likeness(stage.name, stage.params, device_for(stage), stage.unit_size)


def _likeness(name: str, params: Params, device: str, megapixels: float | None) -> Likeness:
    manner = ""
    if isinstance(params, DetectParams):
        manner = params.mode
    elif isinstance(params, StudentParams):
        manner = f"{params.config.architecture} {params.config.augment.crop}"
    weights = tuple(sorted(weights_of(params).items()))
    size = round(log2(megapixels)) if megapixels else None
    return Likeness(name, manner, weights, device.partition(":")[0], size)


def weights_of(params: Params) -> dict[str, str]:
    """Fingerprints of all weights that a stage is told of, by role."""
    found: dict[str, str] = {}
    for role, value in params:
        if isinstance(value, WeightsSource):
            found[role] = value.fingerprint
        elif isinstance(value, Params):
            found |= weights_of(value)
    return found


def estimate(graph: Graph, store: Store | None, hardware: Hardware) -> SweepEstimate:
    """Price a graph.

    Without sharing every cell detects for itself, and its teacher and pseudo-masks encode each
    image whenever it comes up.
    """
    timings = StageTimings.of_store(store)
    done = (lambda key: False) if store is None else store.has
    needed = graph.needed(done)
    groups = [*GROUPS.values(), *map(_group, graph.stages.values())]
    hours = {group: [0.0, 0.0, 0.0] for group in groups}
    encode = _encode_rate(graph, timings)
    for plan in graph.plans:
        for stage in plan.stages:
            hours[_group(stage)][0] += _naive_seconds(stage, timings, encode) / 3600
    left = [stage for key, stage in graph.stages.items() if key in needed]
    for column, stages in ((1, graph.stages.values()), (2, left)):
        for stage in stages:
            hours[_group(stage)][column] += timings.seconds(stage) / 3600
        # Recorded times have what was encoded in passing in them.
        guessed = [stage for stage in stages if not timings.is_recorded(stage)]
        hours[GROUPS["pseudomask"]][column] += encode * _uncached_images(guessed) / 3600
        hours[GROUPS["teacher"]][column] += encode * _uncached_lessons(guessed) / 3600
    recorded = {_group(stage) for stage in graph.stages.values() if timings.is_recorded(stage)}
    return SweepEstimate(
        cells=len(graph.plans),
        stages=len(graph.stages),
        naive_stages=graph.naive_count,
        stages_left=len(left),
        hours={group: Hours(*values) for group, values in hours.items() if any(values)},
        recorded=tuple(sorted(recorded)),
        disk_gb=sum(map(disk_mb, left)) / 1e3,
        memory_gb=_memory(graph),
        hardware=hardware,
        assumptions=_assumptions(left, timings, hardware),
    )


def _assumptions(
    left: Iterable[Stage], timings: StageTimings, hardware: Hardware
) -> tuple[str, ...]:
    """What the times of the stages still to run take for granted."""
    by_authors_times = sum(
        timings.seconds(stage)
        for stage in left
        if isinstance(stage.params, StudentParams)
        and stage.priced_as != TINY
        and not timings.is_recorded(stage)
    )
    if not by_authors_times:
        return ()
    days = by_authors_times / 3600 / 24 / hardware.devices
    low, high = (f"{days * factor:.2g}" for factor in PLAIN_PYTORCH)
    return (
        "students are priced by their authors' times, with a compiled kernel for deformable "
        "attention; in plain PyTorch, as here, a step may take 30-50% more: students then take "
        f"{low} to {high} days instead of {days:.2g} (the first recorded student tells)",
    )


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
    return timings.seconds(stage) + extra * (stage.units or 0.0)


def _uncached_images(stages: Iterable[Stage]) -> float:
    """How many images pseudo-masks encode in passing, those of one pass once for all its stages."""
    drawn = [stage for stage in stages if isinstance(stage.params, PseudomaskParams)]
    together = passes_of(drawn)
    shared = {stage.key for each in together for stage in each}
    alone = [(stage,) for stage in drawn if stage.key not in shared]
    return sum(map(_encoded_in_passing, (*together, *alone)))


def _uncached_lessons(stages: Iterable[Stage]) -> float:
    """How many images teachers encode: each of every step without a cache, whose first images are
    those that they read."""
    told = [(stage, stage.params) for stage in stages if isinstance(stage.params, TeacherParams)]
    return sum(
        stage.units or 0.0
        for stage, params in told
        if params.tuning and not params.tuning.encoding.config.limit_gigabytes
    )


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
    whole = images * scale_of(sam)["embed"].artefact_mb_image
    return max(0.0, 1 - 1e3 * embed.limit_gigabytes / whole) if whole else 0.0


def disk_mb(stage: Stage) -> float:
    """Megabytes of the stage's artefact; embeddings of all portions stop at their limit."""
    prior = prior_of(stage)
    size = prior.artefact_mb_fixed + prior.artefact_mb_image * (stage.units or 0.0)
    if isinstance(stage.params, EmbedParams):
        told = stage.params
        room = 1e3 * told.config.limit_gigabytes - told.portion.number * size
        return min(size, max(0.0, room))
    return size


def _memory(graph: Graph) -> dict[str, float]:
    """Gigabytes that each kind of stage needs on a device."""
    needs: dict[str, float] = {}
    for stage in graph.stages.values():
        prior = prior_of(stage)
        need = prior.memory_fixed + prior.memory_image * _images_at_once(stage)
        needs[stage.name] = max(needs.get(stage.name, 0.0), need)
    return needs


def _images_at_once(stage: Stage) -> float:
    """On one device."""
    params = stage.params
    if isinstance(params, StudentParams):
        share = params.config.schedule.batch_images / stage.resources.workers
        return min(params.config.micro_batch_images or share, share)
    if isinstance(params, TeacherParams):
        return params.tuning.config.batch_images if params.tuning else 1
    return params.config.batch_images if isinstance(params, EmbedParams | DetectParams) else 1
