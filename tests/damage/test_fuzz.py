"""The fuzz targets for some seconds each; `make fuzz` runs them for a minute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from damage.fuzz import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_whatever_is_fed_in(target: Callable[[], None]) -> None:
    """Columns, reasons, or one line: never another error; the same examples in every run."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    settings(max_examples=100, deadline=None, suppress_health_check=checks, derandomize=True)(
        target
    )()
