"""What several test files of the sweep stand on."""

from __future__ import annotations

from typing import Any

import pytest

from omnicost.errors import MissingError
from omnicost.sweep import sources as sources_module


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is at hand, so that planning takes no time."""

    def nothing(name_or_path: str, **_: Any) -> None:
        raise MissingError(name_or_path, "not here", "get it")

    monkeypatch.setattr(sources_module, "open_dataset", nothing)
