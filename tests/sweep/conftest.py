"""What several test files of the sweep stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_toys import Toys, toy_planner

from omnicost.engine.graph import Graph, build_graph
from omnicost.engine.store import Store
from omnicost.errors import MissingError
from omnicost.sweep import sources as sources_module


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is at hand, so that planning takes no time."""

    def nothing(name_or_path: str, **_: Any) -> None:
        raise MissingError(name_or_path, "not here", "get it")

    monkeypatch.setattr(sources_module, "open_dataset", nothing)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def graph() -> Graph:
    toys = Toys()
    return build_graph(toys.targets(), toy_planner(toys))
