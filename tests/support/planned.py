"""Cards planned without data, and what their stages are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from omnicost.engine.graph import Graph, build_graph
from omnicost.sweep.cards.read_card import (
    Changes,
    load_card,
)
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import planner


def plan(card: str | Path, *settings: str, seeds: str | None = None, share: bool = True) -> Graph:
    loaded = load_card(card, Changes(settings=settings, seeds=seeds))
    return build_graph(loaded.cells(), planner(loaded, Sources(Path("cache"))), share=share)


def counts(graph: Graph) -> Counter[str]:
    return Counter(stage.name for stage in graph.stages.values())


def keys(graph: Graph, name: str | None = None) -> set[str]:
    return {key for key, stage in graph.stages.items() if name in (None, stage.name)}
