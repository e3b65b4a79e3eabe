"""The import order of ARCHITECTURE.md, read from the source with `ast`."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "omnicost"
# Imports point up this list only.
ORDER = [
    "errors",
    "amounts",
    "files",
    "plain_text",
    "plain_yaml",
    "progress",
    "resources",
    "annotation",
    "published",
    "coco",
    "cost",
    "calibrate",
    "results",
    "pareto",
    "labelling",
    "forecast",
    "plan",
    "plot",
    "campaign",
    "decide",
    "data",
    "models",
    "engine",
    "pipeline",
    "sweep",
    "project",
    "api",
    "cli",
]
PLANNER = ORDER[: ORDER.index("campaign") + 1]
IMPORTS = (ast.Import, ast.ImportFrom)
HEAVY = {"torch", "torchvision", "ray", "transformers"}


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    entrances = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path not in entrances]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up_the_list(path: Path) -> None:
    """A module imports only from its own layer and from those above it in ORDER."""
    own = ORDER.index(layer_of(path))
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "omnicost" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= own, f"{path} imports {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if layer_of(path) == "engine"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_engine_needs_only_the_ground_floor(path: Path) -> None:
    """Of the project the engine imports its errors, files and progress; of Ray only its own part.

    Nothing is imported inside functions.
    """
    project = {name for name in imported_modules(path) if name.startswith("omnicost.")}
    assert {name.split(".")[1] for name in project} <= {"engine", "errors", "files", "progress"}
    if "ray" not in path.parent.parts:
        assert not any("ray" in name.split(".") for name in imported_modules(path))
    functions = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef))
    inner = [each for f in functions for each in ast.walk(f) if isinstance(each, IMPORTS)]
    assert not inner, f"line {inner[0].lineno}"


def test_planning_a_sweep_needs_no_ray() -> None:
    """Cards, graphs, prices and what is printed load no Ray: dry runs work without it."""
    code = (
        "import sys, omnicost.cli.sweep, omnicost.cli.store, omnicost.sweep.launch,"
        "omnicost.sweep.summary; sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if layer_of(path) in PLANNER],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_planner_names_no_heavy_package(path: Path) -> None:
    """The planner's layer never imports torch, Ray or transformers, at any depth of a function."""
    assert not {name.split(".")[0] for name in imported_modules(path)} & HEAVY


def test_importing_omnicost_loads_nothing_heavy() -> None:
    """`import omnicost` and the command line leave torch, Ray and transformers unloaded."""
    code = (
        "import sys, omnicost, omnicost.cli;"
        f"sys.exit(', '.join(sorted(set(sys.modules) & {HEAVY!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports run in no circle, those inside functions and for types included."""
    names = {
        ".".join(("omnicost", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in sources()
        if path.name != "__init__.py"
    }
    reads = {name: imported_modules(path) & set(names) for name, path in names.items()}
    order = TopologicalSorter(reads)
    order.prepare()  # raises CycleError, which names the circle
