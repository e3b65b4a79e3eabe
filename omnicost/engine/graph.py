"""Cells to unique stages: what has to run, in which order, and what is shared.

A `Stage` is data: its key is the SHA-256 of its name, version, parameters, fingerprints and the
keys of what it reads. Where data lies, which device computes and how many threads it gets are
settings: they are carried along but change no key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from omnicost.engine.keys import digest
from omnicost.engine.resources import Resources

T = TypeVar("T")


@dataclass(frozen=True)
class StageKind:
    """One step of the pipeline: its name, the version of its output and the function that runs it.

    Raise `version` when the code changes what the same parameters give. `pass_function` is of kinds
    whose stages can be computed several in one pass over what they read.
    """

    name: str
    version: int
    function: str  # "package.module:function", called with a `StageContext`
    pass_function: str = ""  # the like, called with a list of them


@dataclass(frozen=True, eq=False)
class Stage:
    """One computation with everything that identifies its output.

    Args:
        params: plain JSON data; everything that can change the output.
        inputs: role -> key of the stage whose artefact is read in that role.
        fingerprints: role -> fingerprint of a data set or model that is read.
        settings: plain JSON data that cannot change the output (paths, device).
        units: how much work it is, in images that pass through the model; None if not known.
        salt: non-empty keeps a stage to itself (`--no-share`).
        pass_group: stages of one group may be computed in one pass (`omnicost.engine.passes`); they
            never read each other. Not in the key; empty to run alone.
    """

    kind: StageKind
    params: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    label: str = ""
    units: float | None = None
    salt: str = ""
    pass_group: str = ""

    @cached_property
    def key(self) -> str:
        """64 hex digits that name the stage's artefact."""
        identity = {
            "stage": self.kind.name,
            "version": self.kind.version,
            "params": self.params,
            "inputs": self.inputs,
            "fingerprints": self.fingerprints,
        }
        return digest({**identity, "salt": self.salt} if self.salt else identity)

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
    """Collects the stages of one cell as its plan is written down."""

    def __init__(self, resources: Mapping[str, Resources], salt: str = "") -> None:
        self._resources = resources
        self._salt = salt
        self._stages: dict[str, Stage] = {}

    def add(
        self,
        kind: StageKind,
        params: Mapping[str, Any],
        *,
        inputs: Mapping[str, Stage] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        label: str = "",
        units: float | None = None,
        pass_group: str = "",
    ) -> Stage:
        """Write one stage down; the same stage twice is one stage."""
        stage = Stage(
            kind=kind,
            params=dict(params),
            inputs={role: stage.key for role, stage in (inputs or {}).items()},
            fingerprints=dict(fingerprints or {}),
            settings=dict(settings or {}),
            resources=self.resources_of(kind),
            label=label or kind.name,
            units=units,
            salt=self._salt,
            pass_group="" if self._salt else pass_group,
        )
        return self._stages.setdefault(stage.key, stage)

    def resources_of(self, kind: StageKind) -> Resources:
        """What the card gives stages of a kind."""
        return self._resources.get(kind.name, self._resources.get("default", Resources()))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What was written down, inputs before what reads them."""
        return tuple(self._stages.values())


@dataclass(frozen=True)
class CellPlan:
    """What one cell needs.

    Args:
        stages: every stage of the cell, inputs before what reads them.
        trial: keys of those that only this cell's own trial runs, in order (student, its scores);
            the others are shared.
        outputs: role -> key of the artefacts that the cell's row is read from.
        salvage: scores a trial that a scheduler stopped, from what it left in its work folder.
    """

    cell: Any  # has `id` and `group`
    stages: tuple[Stage, ...]
    trial: tuple[str, ...]
    outputs: Mapping[str, str]
    salvage: Stage | None = None

    @property
    def waits_for(self) -> frozenset[str]:
        """Keys of the shared stages that the trial reads."""
        own = set(self.trial)
        read = {key for stage in self.stages if stage.key in own for key in stage.inputs.values()}
        return frozenset(read - own)


Planner = Callable[[Any, str], CellPlan]  # cell, salt -> its plan


@dataclass(frozen=True)
class Graph:
    """The plans of all cells and the stages that they need, each once."""

    plans: tuple[CellPlan, ...]
    stages: Mapping[str, Stage]  # key -> stage, inputs before what reads them

    @cached_property
    def trial_keys(self) -> frozenset[str]:
        """Keys of the stages that run inside a cell's trial."""
        return frozenset(key for plan in self.plans for key in plan.trial)

    @property
    def shared(self) -> Iterator[Stage]:
        """The stages that run as tasks, inputs before what reads them."""
        return (stage for key, stage in self.stages.items() if key not in self.trial_keys)

    @property
    def naive_count(self) -> int:
        """How many stages would run if no cell shared any."""
        return sum(len(plan.stages) for plan in self.plans)

    def needed(self, done: Callable[[str], bool]) -> frozenset[str]:
        """Keys that must still run to have every cell's outputs, given what is done already."""
        open_keys = [key for plan in self.plans for key in plan.outputs.values()]
        needed: set[str] = set()
        while open_keys:
            key = open_keys.pop()
            if key not in needed and not done(key):
                needed.add(key)
                open_keys.extend(self.stages[key].inputs.values())
        return frozenset(needed)


def build_graph(cells: Iterable[Any], plan_cell: Planner, *, share: bool = True) -> Graph:
    """Plan every cell and merge equal stages; `share=False` keeps each cell's stages apart."""
    plans = tuple(plan_cell(cell, "" if share else cell.id) for cell in cells)
    return Graph(plans, {stage.key: stage for plan in plans for stage in plan.stages})
