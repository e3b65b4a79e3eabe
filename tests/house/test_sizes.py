"""The house's measures: folders, modules and functions that one can take in."""

import ast
from collections import Counter
from pathlib import Path
from statistics import median

import pytest
from places import ROOT

PARTS = ("omnicost", "analysis", "tests")
MOST_MODULES, MOST_LINES = 15, 400  # of a folder, of a module
TIGHTER = {"omnicost/sweep": 12, "omnicost/pipeline": 10}  # those that had grown flat before
LONG_LINES, LONG_SHARE = 40, 0.02  # of a function; how many may be longer


def sources(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_can_be_read(part: str) -> None:
    """No folder has more than 15 modules beside its own `__init__`, two have fewer yet."""
    modules = (path for path in sources(part) if path.name != "__init__.py")
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules)
    over = {each: n for each, n in counts.items() if n > TIGHTER.get(each, MOST_MODULES)}
    assert over == {}


@pytest.mark.parametrize("part", PARTS)
def test_a_module_can_be_read(part: str) -> None:
    """No module has more than 400 lines."""
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources(part)}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("part", PARTS)
def test_functions_do_one_thing(part: str) -> None:
    """Half of the functions have fewer than 15 lines, and few more than 40, docstrings and all."""
    lines = [
        node.end_lineno - node.lineno + 1
        for path in sources(part)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    ]
    assert median(lines) < 15
    assert sum(count > LONG_LINES for count in lines) <= LONG_SHARE * len(lines)
