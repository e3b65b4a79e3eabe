"""The scripts of analysis/ keep up with the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ANALYSIS = Path(__file__).parent.parent / "analysis"
SCRIPTS = sorted(ANALYSIS.rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every script can be imported, says what it claims, and has something to run."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"analysis_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__
    assert hasattr(module, "main") or path.stem == "bench_world"
