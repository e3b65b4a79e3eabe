"""Data sets and weights that cells read: opened once, fingerprinted, and named when missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from omnicost.data import Dataset, open_dataset
from omnicost.errors import MissingError
from omnicost.pipeline.config import NO_START
from omnicost.progress import Progress, silent
from omnicost.published import PUBLISHED
from omnicost.sweep.card import DatasetSpec

WeightsKind = Literal["sam", "detector", "text", "backbone", "student"]
ABSENT: Final = "missing:"  # how the fingerprint of something missing begins


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
    _datasets: dict[tuple[DatasetSpec, str], Dataset | None] = field(default_factory=dict)
    _models: dict[tuple[str, str], str] = field(default_factory=dict)

    def dataset(self, spec: DatasetSpec, split: str) -> Dataset | None:
        """A split, or None if it is missing."""
        key = (spec, split)
        if key not in self._datasets:
            self._datasets[key] = self._found(
                spec.name,
                lambda: open_dataset(**location(spec, split, self.cache), progress=self.progress),
            )
        return self._datasets[key]

    def data_fingerprint(self, spec: DatasetSpec, split: str) -> str:
        """Fingerprint of a split, or a stand-in."""
        dataset = self.dataset(spec, split)
        return f"{ABSENT}{spec.name}" if dataset is None else dataset.fingerprint

    def images(self, spec: DatasetSpec, split: str) -> int | None:
        """Images of a split; of a missing one, what the published data set has, if it is one."""
        dataset = self.dataset(spec, split)
        if dataset is not None:
            return len(dataset)
        return PUBLISHED[spec.name].images.get(split) if spec.name in PUBLISHED else None

    def model_fingerprint(self, spec: str, kind: WeightsKind) -> str:
        """Fingerprint of weights, or a stand-in."""
        from omnicost.models.loading import fingerprint

        key = (spec, kind)
        if key not in self._models:
            found = self._found(f"{kind} {spec}", lambda: fingerprint(spec, kind))
            self._models[key] = found or f"{ABSENT}{kind} {spec}"
        return self._models[key]

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


def _advice(what: str, error: MissingError) -> str:
    """How to get one thing, short enough to stand beside the others."""
    if what in PUBLISHED:
        return f"put {what}'s {PUBLISHED[what].expected} into a folder and name it with --data"
    if "hf download" in error.remedy:
        return f"`hf download {what.partition(' ')[2]}`"
    return error.remedy


def location(spec: DatasetSpec, split: str, cache: Path) -> dict[str, Any]:
    """Arguments of `open_dataset`, as plain data that every node understands."""
    return {
        "name_or_path": spec.name if spec.root is not None else from_anywhere(spec.name),
        "split": split,
        "root": None if spec.root is None else str(Path(spec.root).expanduser().absolute()),
        "cache": str(cache),
    }


def from_anywhere(name_or_path: str) -> str:
    """The same name, or the same path as seen from another working directory."""
    path = Path(name_or_path).expanduser()
    # The embedded models come first, and no start is none.
    is_path = name_or_path not in ("tiny", NO_START) and path.exists()
    return str(path.absolute()) if is_path else name_or_path
