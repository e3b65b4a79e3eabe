"""Experiment cards: what a sweep runs, as pydantic models that refuse unknown keys.

A card is a YAML file (`omnicost.sweep.cards.read_card` reads one); `Card.cells` makes it cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from omnicost.amounts import read_hours
from omnicost.annotation import PAPER_TYPES, AnnotationType, Policy
from omnicost.engine.keys import canonical_json
from omnicost.engine.resources import Resources, SchedulerSpec, Strict
from omnicost.errors import ConfigError, InputError, faults_of
from omnicost.pipeline.recipe import Recipe
from omnicost.sweep.step_versions import STEPS

STAGES: Final = (*STEPS, "salvage")
MOST_CELLS: Final = 100_000
Share = Annotated[float, Field(ge=0, le=1)]
Overrides = dict[str, Any]  # dotted path into the recipe -> value


class DatasetSpec(Strict):
    """A data set: a name that omnicost knows, or the path of a folder or COCO json."""

    name: str
    root: Path | None = Field(default=None, description="Where its files lie (or use --data).")
    train: str = "train"
    val: str = "val"
    scored_on: str | None = Field(
        default=None, description="Another set, whose split `val` scores; its own if absent."
    )
    images: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Use at most so many images of a split, drawn once; all if absent.",
    )

    @property
    def validation(self) -> DatasetSpec:
        """The set that scores."""
        if self.scored_on is None:
            return self
        return DatasetSpec(name=self.scored_on, val=self.val, images=self.images)


class Grid(Strict):
    """Mask shares x weak types, as in the paper, and any further policies."""

    mask_shares: tuple[Share, ...] = (0.0, 0.01, 0.1, 1.0)
    types: tuple[AnnotationType, ...] = PAPER_TYPES[:-1]  # masks are the last
    policies: tuple[dict[AnnotationType, Share], ...] = ()

    @field_validator("types")
    @classmethod
    def _weak_only(cls, types: tuple[AnnotationType, ...]) -> tuple[AnnotationType, ...]:
        if AnnotationType.MASK in types:
            raise ValueError("mask is not a weak type; use mask_shares")
        return types

    @model_validator(mode="after")
    def _some_policy(self) -> Grid:
        if not self.policies and not (self.mask_shares and self.types):
            raise ValueError("no policy; give mask_shares and types, or policies")
        return self

    @field_validator("policies")
    @classmethod
    def _shares_add_up(cls, policies: tuple[dict[Any, float], ...]) -> tuple[Any, ...]:
        for policy in policies:
            try:
                Policy.of(policy)
            except InputError as error:
                raise ValueError(error.problem) from None
        return policies

    def all_policies(self) -> tuple[Policy, ...]:
        """The grid's policies, each once, mask shares first."""
        cells = itertools.product(sorted(self.mask_shares), self.types)
        grid = [Policy.cell(weak, share) for share, weak in cells]
        named = [Policy.of({str(t): share for t, share in each.items()}) for each in self.policies]
        return tuple(dict.fromkeys([*grid, *named]))


class Decide(Strict):
    """Train only the students that still change a plan (`omnicost.decide`)."""

    regret: Annotated[float, Field(gt=0)] = Field(
        default=0.15, description="AP: stop once plans are expected to lose less than this."
    )
    device_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Start no student that would take what the card's students used over this.",
    )
    budgets: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(),
        description="Labelling hours that matter, as 50h, 500h; all up to masks everywhere if "
        "none is named.",
    )
    runs: Annotated[int, Field(ge=1)] = Field(
        default=3, description="Most students of a cell; seeds beyond the card's are counted on."
    )
    shorter: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(), description="Shorter schedules at hand, as shares of the student's steps."
    )
    spread: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Standard deviation of a cell's AP; learnt from repeats if absent.",
    )

    @field_validator("budgets", mode="before")
    @classmethod
    def _in_hours(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        texts = [part for entry in entries for part in str(entry).split(",")]
        try:
            return tuple(read_hours(text, "`budgets`") for text in texts)
        except InputError as error:
            raise ValueError(f"{error.problem}; {error.remedy}") from None

    @field_validator("shorter", mode="after")
    @classmethod
    def _each_once(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(shares), reverse=True))


class Hardware(Strict):
    """The machine that a dry run prices, where nothing has been timed yet."""

    device: str = "one CPU core"
    devices: Annotated[int, Field(ge=1)] = 2
    memory_gb: Annotated[float, Field(gt=0)] = 8.0


def named(datasets: Any) -> list[Any]:
    """A card's data sets, of which one alone, and names alone, are enough."""
    entries = datasets if isinstance(datasets, list | tuple) else [datasets]
    return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]


class Card(Strict):
    """One experiment: the grid, the recipe and its variants, the resources of each stage."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    datasets: Annotated[tuple[DatasetSpec, ...], BeforeValidator(named)] = Field(min_length=1)
    grid: Grid = Grid()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    measure: Literal["student", "teacher", "model"] = Field(
        default="student",
        description="What a cell ends in: a student's AP, a teacher's mIoU, or a student that "
        "nothing can score.",
    )
    crossfit: bool = Field(
        default=False,
        description="Judge each weak type's pseudo-masks on the images with masks, drawn by "
        "teachers that did not see them.",
    )
    schedule: str = Field(default="full", description="Label of the schedules, in every row.")
    recipe: dict[str, Any] = Field(default={}, description="What differs from the base recipe.")
    variants: dict[str, Overrides] = Field(
        default={"": {}}, min_length=1, description="Recipes to compare: name -> overrides."
    )
    axes: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default={}, description="Extra axes: dotted path into the recipe -> values."
    )
    resources: dict[str, Resources] = Field(default={"default": Resources()})
    passes: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Pseudo-masks that are ready together in one pass over the images: auto where "
        "the cache does not hold every embedding.",
    )
    scheduler: SchedulerSpec | None = None
    decide: Decide | None = None
    hardware: Hardware = Hardware()

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice; its cells would be equal")
        return seeds

    @field_validator("datasets")
    @classmethod
    def _names_differ(cls, datasets: tuple[DatasetSpec, ...]) -> tuple[DatasetSpec, ...]:
        if len({dataset.name for dataset in datasets}) < len(datasets):
            raise ValueError("two have one name, and rows name them by it; rename one")
        return datasets

    @field_validator("resources")
    @classmethod
    def _stages_are_known(cls, resources: dict[str, Resources]) -> dict[str, Resources]:
        unknown = [name for name in resources if name not in ("default", *STAGES)]
        if unknown:
            raise ValueError(f"unknown stage {unknown[0]!r}; use default, {', '.join(STAGES)}")
        return resources

    @model_validator(mode="after")
    def _few_cells_none_twice(self) -> Card:
        for path, values in self.axes.items():
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"axes.{path}: a value occurs twice; its cells would be equal")
        points = prod(len(values) for values in self.axes.values())
        cells = len(self.datasets) * len(self.seeds) * len(self.variants) * points
        if cells * (len(self.grid.mask_shares) * len(self.grid.types)) > MOST_CELLS:
            raise ValueError(f"more than {MOST_CELLS:,} cells; split the card")
        return self

    @model_validator(mode="after")
    def _something_to_compare(self) -> Card:
        if self.scheduler is not None and len(self.recipes()) < 2:
            raise ValueError("scheduler: needs two variants of a cell to compare")
        if self.decide is not None and (self.scheduler is not None or self.measure != "student"):
            raise ValueError("decide: needs students that are trained to their end")
        return self

    def recipes(self) -> list[tuple[str, dict[str, Any]]]:
        """What each variant and point of the axes sets in the recipe, with its name."""
        found = []
        points = itertools.product(*self.axes.values())
        for (variant, changes), values in itertools.product(self.variants.items(), points):
            point = dict(zip(self.axes, values, strict=True))
            parts = [variant, *(f"{path}={value}" for path, value in point.items())]
            recipe = merged(self.recipe, nested({**changes, **point}))
            found.append((",".join(part for part in parts if part), recipe))
        return found

    def cells(self) -> Iterator[Cell]:
        """Every cell of the card, in the order of the card."""
        policies = self.grid.all_policies()
        axes = itertools.product(self.datasets, self.seeds, self.recipes(), policies)
        for dataset, seed, (variant, recipe), policy in axes:
            yield Cell(
                dataset=dataset,
                policy=policy,
                seed=seed,
                variant=variant,
                recipe=recipe,
                schedule=self.schedule,
                measure=self.measure,
                crossfit=self.crossfit,
            )


@dataclass(frozen=True, eq=False)
class Cell:
    """One dataset x policy x recipe x seed.

    Args:
        variant: what tells the recipe from the card's other recipes; empty if there is one.
        recipe: what differs from the base recipe, as nested plain data.
        shortened: share of the recipe's steps that the student is trained for; 1 for all.
    """

    dataset: DatasetSpec
    policy: Policy
    seed: int
    variant: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "full"
    measure: str = "student"
    shortened: float = 1.0
    crossfit: bool = False

    @property
    def group(self) -> str:
        """What the cell shares with its variants, which may be compared with each other."""
        return f"{self.dataset.name}/{self.policy}/seed={self.seed}"

    @property
    def id(self) -> str:
        """The cell's name within its card."""
        steps = "" if self.shortened == 1 else f"steps={self.shortened:.3g}"
        return "/".join(part for part in (self.group, self.variant, steps) if part)

    @property
    def weak_type(self) -> str:
        """The type of the images without masks: ``point``, ``class+box``; ``mask`` if all have."""
        return "+".join(self.policy.weak_types) or str(AnnotationType.MASK)


def recipe_of(cell: Cell) -> Recipe:
    """The cell's recipe, checked; light: no model is loaded.

    Raises:
        ConfigError: with every fault of it.
    """
    return _recipe(canonical_json(dict(cell.recipe)))


@lru_cache(maxsize=256)
def _recipe(text: str) -> Recipe:
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError("recipe", faults_of(error, Recipe)) from None


def recipe_faults(card: Card) -> list[str]:
    """What is wrong with the recipes of a card, each fault once, with its path in the card."""
    found: dict[str, None] = {}
    for _, recipe in card.recipes():
        try:
            _recipe(canonical_json(recipe))
        except ConfigError as error:
            found |= dict.fromkeys(f"recipe.{fault}" for fault in error.faults)
    return list(found)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` on top: mappings are merged, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    result: dict[str, Any] = {}
    for path, value in dotted.items():
        change = value
        for part in reversed(path.split(".")):
            change = {part: change}
        result = merged(result, change)
    return result
