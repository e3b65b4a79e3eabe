"""Data sets and weights that cells read: opened once, fingerprinted, and named when missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from omnicost.data import Dataset, open_dataset
from omnicost.data.splits import permutation
from omnicost.engine.params import Params, runtime_field
from omnicost.errors import MissingError
from omnicost.models.glance import glance
from omnicost.models.loading import WeightsRole, fingerprint
from omnicost.pipeline.config import NO_START
from omnicost.progress import Progress, silent
from omnicost.published import PUBLISHED
from omnicost.sweep.cards.card import DatasetSpec

ABSENT: Final = "missing:"  # how the fingerprint of something missing begins


class SplitSource(Params):
    """A split of a data set that a stage reads: what is in it, and where it lies."""

    fingerprint: str
    name_or_path: str = runtime_field("")
    split: str = runtime_field("")
    root: str | None = runtime_field(None)
    cache: str = runtime_field("")
    images: int | None = runtime_field(None)

    def open(self) -> Dataset:
        """The split; whoever planned with it has it converted in the cache."""
        whole = open_dataset(self.name_or_path, self.split, self.root, self.cache)
        return some_of(whole, self.images)


class WeightsSource(Params):
    """Weights that a stage reads: what they are, and where they lie."""

    fingerprint: str
    spec: str = runtime_field("")


@dataclass(frozen=True, eq=False)
class PlannedSplit:
    """A split as plans see it; it may be missing.

    Args:
        at: arguments of `open_dataset`, as plain data that every node understands.
        dataset: None where it is missing.
    """

    spec: DatasetSpec
    at: Mapping[str, Any]
    dataset: Dataset | None

    @cached_property
    def source(self) -> SplitSource:
        """What stages are told of it; a missing one has a stand-in fingerprint."""
        known = f"{ABSENT}{self.spec.name}" if self.dataset is None else self.dataset.fingerprint
        return SplitSource(fingerprint=known, **self.at, images=self.spec.images)

    @property
    def images(self) -> int | None:
        """How many it has; of a missing one, what the published data set has, if it is one."""
        if self.dataset is not None:
            return len(self.dataset)
        name, most = self.spec.name, self.spec.images
        known = PUBLISHED[name].images.get(self.at["split"]) if name in PUBLISHED else None
        return known if most is None or known is None else min(known, most)

    @cached_property
    def megapixels(self) -> float | None:
        """Of an image, on average; None of a missing one."""
        if self.dataset is None or not len(self.dataset):
            return None
        return float(self.dataset.sizes.astype(float).prod(axis=1).mean()) / 1e6


@dataclass
class Sources:
    """What a sweep reads, each opened or hashed once.

    What is missing gets a stand-in fingerprint and is collected, so that a dry run can count
    without it and a run can name all of it at once.

    Args:
        cache: folder for converted annotations and drawn data sets, seen by all nodes.
        progress: told of units done while a data set is drawn or converted.
    """

    cache: Path
    progress: Progress = silent
    missing: dict[str, MissingError] = field(default_factory=dict)
    _splits: dict[tuple[DatasetSpec, str], PlannedSplit] = field(default_factory=dict)
    _weights: dict[tuple[str, str], str] = field(default_factory=dict)

    def dataset(self, spec: DatasetSpec, split: str) -> Dataset | None:
        """A split, or None if it is missing."""
        return self.split(spec, split).dataset

    def split(self, spec: DatasetSpec, split: str) -> PlannedSplit:
        """A split, missing or not."""
        key = (spec, split)
        if key not in self._splits:
            at: dict[str, Any] = {
                "name_or_path": spec.name if spec.root else from_anywhere(spec.name),
                "split": split,
                "root": str(spec.root.expanduser().absolute()) if spec.root else None,
                "cache": str(self.cache),
            }
            dataset = self._found(
                spec.name, lambda: some_of(open_dataset(**at, progress=self.progress), spec.images)
            )
            self._splits[key] = PlannedSplit(spec, at, dataset)
        return self._splits[key]

    def weights(self, spec: str, role: WeightsRole) -> WeightsSource:
        """What a stage is told of weights; missing ones have a stand-in fingerprint."""
        key = (spec, role)
        if key not in self._weights:
            found = self._found(f"{role} {spec}", lambda: _identity(spec, role))
            self._weights[key] = found or f"{ABSENT}{role} {spec}"
        return WeightsSource(fingerprint=self._weights[key], spec=from_anywhere(spec))

    def require(self) -> None:
        """Refuse to go on without what is missing.

        Raises:
            MissingError: naming all of it, with the way to get each.
        """
        if self.missing:
            *others, last = (_advice(what, error) for what, error in self.missing.items())
            advice = " and ".join([", ".join(others), last]) if others else last
            raise MissingError(", ".join(self.missing), "not on this machine", advice)

    def _found(self, what: str, find: Callable[[], Any]) -> Any:
        try:
            return find()
        except MissingError as error:
            self.missing[what] = error
            return None


def some_of(dataset: Dataset, images: int | None) -> Dataset:
    """At most so many images of a data set, the first of its permutation; all where None."""
    if images is None or len(dataset) <= images:
        return dataset
    return dataset.take(permutation(dataset, 0)[:images])


def _advice(what: str, error: MissingError) -> str:
    """How to get one thing, short enough to stand beside the others."""
    if what in PUBLISHED:
        return f"put {what}'s {PUBLISHED[what].expected} into a folder and name it with `data`"
    if "hf download" in error.remedy:
        return f"`hf download {what.partition(' ')[2]}`"
    return error.remedy


def _identity(spec: str, role: WeightsRole) -> str:
    """The fingerprint of weights that look like what they are asked to be."""
    glance(spec, role)
    return fingerprint(spec, role)


def from_anywhere(name_or_path: str) -> str:
    """The same name, or the same path as seen from another working directory."""
    path = Path(name_or_path).expanduser()
    # The embedded models come first, and no start is none.
    is_path = name_or_path not in ("tiny", NO_START) and path.exists()
    return str(path.absolute()) if is_path else name_or_path
