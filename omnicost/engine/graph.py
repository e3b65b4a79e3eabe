"""Targets to unique stages: what has to run, in which order, and what is shared.

A `Stage` is data: its key is the SHA-256 of its kind's name and version, the identity of its
parameters and the keys of what it reads. Its function gets these parameters and no others, so
what it can read is what the key covers; runtime fields of the parameters are carried along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError

from omnicost.engine.keys import digest
from omnicost.engine.params import Params
from omnicost.engine.resources import Resources

T = TypeVar("T")
ParamsT = TypeVar("ParamsT", bound=Params)


class Target(Protocol):
    """What a graph computes the outputs of: a cell of an experiment, a toy of a test."""

    @property
    def id(self) -> str:
        """Its name, unique in the graph."""

    @property
    def group(self) -> str:
        """What it shares with the targets that a scheduler may compare it with."""


TargetT = TypeVar("TargetT", bound=Target)


def _no_less(stage: Stage) -> Params | None:
    """Of kinds that have no batch."""


@dataclass(frozen=True)
class StageKind(Generic[ParamsT]):
    """One step: its name, the version of its output, and the function that computes it.

    Raise `version` when the code changes what the same parameters give. `pass_function` is of kinds
    whose stages can be computed several in one pass over what they read. `half_batch` gives the
    parameters of a stage with half as much at once, None where there is no less.
    """

    name: str
    version: int
    params: type[ParamsT]
    function: Callable[[Any], None]  # called with a `StageContext`
    pass_function: Callable[[Any], None] | None = None  # the like, called with a list of them
    half_batch: Callable[[Stage], Params | None] = _no_less

    def read(self, stage: str, identity: Mapping[str, Any]) -> ParamsT | None:
        """Parameters from what a manifest holds; None of other kinds and of other times."""
        if stage != self.name:
            return None
        try:
            return self.params.model_validate(identity)
        except ValidationError:
            return None


@dataclass(frozen=True, eq=False)
class Stage:
    """One computation with everything that identifies its output.

    Args:
        params: of the kind's own class; everything that can change the output.
        inputs: role -> key of the stage whose artefact is read in that role.
        scratch: role -> key of the stage whose scratch, left unfinished, is read in that role.
        units: how much work it is, in images that pass through the model; None if not known.
        unit_size: of one unit, such as a picture's megapixels; None if not known. Not in the key.
        priced_as: what its time is guessed from where nothing was timed; not in the key.
        salt: non-empty keeps a stage to itself (`--no-share`).
        pass_group: stages of one group may be computed in one pass (`omnicost.engine.passes`); they
            never read each other. Not in the key; empty to run alone.
    """

    kind: StageKind
    params: Params
    inputs: Mapping[str, str] = field(default_factory=dict)
    scratch: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    label: str = ""
    units: float | None = None
    unit_size: float | None = None
    priced_as: str = ""
    salt: str = ""
    pass_group: str = ""

    @cached_property
    def key(self) -> str:
        """64 hex digits that name the stage's artefact."""
        return digest(
            {
                "stage": self.kind.name,
                "version": self.kind.version,
                "params": self.params.identity(),
                "inputs": self.inputs,
                "scratch": self.scratch,
                "salt": self.salt,
            }
        )

    @property
    def name(self) -> str:
        """Name of the stage's kind."""
        return self.kind.name


def by_role(inputs: Mapping[str, T], prefix: str) -> dict[str, T]:
    """What is read in roles that start with the prefix, by the rest of the role."""
    return {
        role.removeprefix(prefix): each for role, each in inputs.items() if role.startswith(prefix)
    }


class StageBook:
    """Collects the stages of one target as its plan is written down."""

    def __init__(self, resources: Mapping[str, Resources], salt: str = "") -> None:
        self._resources = resources
        self._salt = salt
        self._stages: dict[str, Stage] = {}

    def add(
        self,
        kind: StageKind,
        params: Params,
        *,
        label: str,
        inputs: Mapping[str, Stage] | None = None,
        pass_group: str = "",
        **about: Any,
    ) -> Stage:
        """Write one stage down; the same stage twice is one stage.

        Args:
            about: `units`, `unit_size` and `priced_as` of the `Stage`.
        """
        stage = Stage(
            kind,
            params,
            inputs={role: stage.key for role, stage in (inputs or {}).items()},
            resources=self.resources_of(kind),
            label=label,
            salt=self._salt,
            pass_group="" if self._salt else pass_group,
            **about,
        )
        return self._stages.setdefault(stage.key, stage)

    def resources_of(self, kind: StageKind) -> Resources:
        """What stages of a kind are given."""
        return self._resources.get(kind.name, self._resources.get("default", Resources()))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What was written down, inputs before what reads them."""
        return tuple(self._stages.values())


@dataclass(frozen=True)
class TargetPlan(Generic[TargetT]):
    """What one target needs.

    Args:
        stages: every stage of the target, inputs before what reads them.
        trial: keys of those that only this target's own trial computes, in order (student, its
            scores); the others are shared.
        outputs: role -> key of the artefacts that are wanted.
        salvage: scores a trial that a scheduler stopped, from the scratch it left; has
            `StoppedParams`.
    """

    target: TargetT
    stages: tuple[Stage, ...]
    trial: tuple[str, ...]
    outputs: Mapping[str, str]
    salvage: Stage | None = None

    @cached_property
    def waits_for(self) -> frozenset[str]:
        """Keys of the shared stages that the trial reads."""
        read = {key for stage in self.own_stages for key in stage.inputs.values()}
        return frozenset(read - set(self.trial))

    @property
    def own_stages(self) -> tuple[Stage, ...]:
        """The stages that the trial computes, in order."""
        by_key = {stage.key: stage for stage in self.stages}
        return tuple(by_key[key] for key in self.trial)


class Chooser(Protocol):
    """Says which targets are worth computing, as the outputs of others come in."""

    def is_enough(self, left: Collection[str]) -> bool:
        """Whether none of the targets left is worth computing."""

    def choose(self, left: Collection[str], under_way: Collection[str], count: int) -> list[str]:
        """Up to `count` of the targets left to start now, beside those under way."""


Planner = Callable[[TargetT, str], TargetPlan[TargetT]]  # target, salt -> its plan


@dataclass(frozen=True)
class Graph(Generic[TargetT]):
    """The plans of all targets and the stages that they need, each once."""

    plans: tuple[TargetPlan[TargetT], ...]
    stages: Mapping[str, Stage]  # key -> stage, inputs before what reads them

    @cached_property
    def trial_keys(self) -> frozenset[str]:
        """Keys of the stages that are computed inside a target's trial."""
        return frozenset(key for plan in self.plans for key in plan.trial)

    @property
    def shared(self) -> Iterator[Stage]:
        """The stages that are computed as tasks, inputs before what reads them."""
        return (stage for key, stage in self.stages.items() if key not in self.trial_keys)

    @property
    def naive_count(self) -> int:
        """How many stages there would be if no target shared any."""
        return sum(len(plan.stages) for plan in self.plans)

    def needed(self, done: Callable[[str], bool]) -> frozenset[str]:
        """Keys still to compute to have every target's outputs, given what is done already."""
        open_keys = [key for plan in self.plans for key in plan.outputs.values()]
        needed: set[str] = set()
        while open_keys:
            key = open_keys.pop()
            if key not in needed and not done(key):
                needed.add(key)
                open_keys.extend(self.stages[key].inputs.values())
        return frozenset(needed)


def build_graph(
    targets: Iterable[TargetT], plan: Planner[TargetT], *, share: bool = True
) -> Graph[TargetT]:
    """Plan every target and merge equal stages; `share=False` keeps each target's stages apart."""
    plans = tuple(plan(target, "" if share else target.id) for target in targets)
    return Graph(plans, {stage.key: stage for plan in plans for stage in plan.stages})
