"""What a shell completes: data sets, annotation types and cards, cheap enough for every Tab."""

from __future__ import annotations

from collections.abc import Iterable

from omnicost.annotation import AnnotationType


def complete_datasets(incomplete: str) -> list[str]:
    """Published data sets whose names begin so."""
    from omnicost.published import PUBLISHED

    return _starting(PUBLISHED, incomplete)


def complete_types(incomplete: str) -> list[str]:
    """Lists of annotation types: what is there so far, and one more."""
    before, comma, last = incomplete.rpartition(",")
    left = [str(each) for each in AnnotationType if each not in before.split(",")]
    return [f"{before}{comma}{name}" for name in _starting(left, last)]


def complete_cards(incomplete: str) -> list[str]:
    """Shipped cards whose names begin so."""
    from omnicost.resources import shipped

    return _starting(sorted(path.stem for path in shipped("sweeps").glob("*.yaml")), incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
