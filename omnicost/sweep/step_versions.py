"""The code behind each step's VERSION: says when one changed and the other did not.

The record beside this module has a line a step with its VERSION, and a line a module that steps
import with a hash of its syntax tree, in which neither comments nor docstrings count.

    python -m omnicost.sweep.step_versions                  # what changed since it was recorded
    python -m omnicost.sweep.step_versions --record "why"   # it is as it should be
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnicost.engine.keys import digest
from omnicost.files import write_text

# Kind of stage -> the module that has its VERSION.
STEPS: Final[Mapping[str, str]] = {
    "embed": "omnicost.pipeline.embed",
    "detect": "omnicost.pipeline.detect",
    "teacher": "omnicost.pipeline.teacher.train",
    "pseudomask": "omnicost.pipeline.pseudomask.generate",
    "quality": "omnicost.pipeline.quality.mask_quality",
    "assign": "omnicost.pipeline.assignment",
    "calibrate": "omnicost.pipeline.quality.crossfit",
    "student": "omnicost.pipeline.student.train",
    "evaluate": "omnicost.pipeline.evaluate",
}
# What else is read is in fingerprints.
_WATCHED: Final = (
    "omnicost.pipeline.",
    "omnicost.models.",
    "omnicost.data.given_labels",
    "omnicost.data.rle",
    "omnicost.data.seeding",
    "omnicost.data.splits",
    "omnicost.data.weak",
)
# Settings, whose values are in keys, and what finds weights, whose fingerprints are.
_IN_KEYS: Final = frozenset(
    {
        "omnicost.models.loading",
        "omnicost.models.students.settings",
        "omnicost.pipeline.config",
        "omnicost.pipeline.student.presets",
    }
)
_RECORD: Final = Path(__file__).with_suffix(".txt")
_ROOT: Final = Path(__file__).parents[2]
_STEP: Final = "step"
COMMAND: Final = 'python -m omnicost.sweep.step_versions --record "why"'


class Change(NamedTuple):
    """A module that is not as recorded, and the steps that it is part of, by name."""

    path: str
    steps: tuple[str, ...]


def explained(found: Collection[Change]) -> list[str]:
    """A line for each change and one that says what to do; nothing if there is none."""
    steps = dict.fromkeys(step for change in found for step in change.steps)
    if not steps:
        return []
    homes = ", ".join(_file(STEPS[step]) for step in steps)
    return [
        *(f"{path} changed, VERSION of {', '.join(own)} did not" for path, own in found),
        f"If another output comes of it, raise VERSION in the step's own module ({homes}). "
        f"Then, or if none does: {COMMAND}",
    ]


def changes(steps: Collection[str] = tuple(STEPS)) -> list[Change]:
    """Modules of the steps that are not as recorded, where the step's VERSION still is."""
    recorded = _recorded()
    current = {step: str(_version(step)) for step in steps if step in STEPS}
    same = [step for step, number in current.items() if recorded.get(f"{_STEP} {step}") == number]
    by_module: dict[str, list[str]] = defaultdict(list)
    for step in same:
        for module in modules_of(step):
            if recorded.get(_file(module)) != _hash(module):
                by_module[module].append(step)
    return [Change(_file(module), tuple(own)) for module, own in sorted(by_module.items())]


def is_recorded() -> bool:
    """Whether the record is what `record` would write now, but for the reasons."""
    return _recorded() == _present()


def record(why: str) -> None:
    """Write the record anew; lines that change get the reason."""
    reasons = {(name, value): reason for name, value, reason in _lines()}
    now = _present().items()
    lines = [f"{name}: {value} {reasons.get((name, value), why)}\n" for name, value in now]
    write_text(_RECORD, "".join(lines))


def modules_of(step: str) -> tuple[str, ...]:
    """The modules that a step is made of: its own, and what these import, up to other steps'."""
    others = set(STEPS.values()) - {STEPS[step]}
    found: set[str] = set()
    waiting = {STEPS[step]}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _imports(module) - found - others
    return tuple(sorted(found))


def _present() -> dict[str, str]:
    steps = {f"{_STEP} {step}": str(_version(step)) for step in STEPS}
    modules = sorted({module for step in STEPS for module in modules_of(step)})
    return steps | {_file(module): _hash(module) for module in modules}


def _recorded() -> dict[str, str]:
    return {name: value for name, value, _ in _lines()}


def _lines() -> Iterator[tuple[str, str, str]]:
    """Name, value and reason of each line; the marks of a merge conflict are no lines."""
    for line in _RECORD.read_text().splitlines():
        name, colon, rest = line.partition(": ")
        if colon:
            value, _, reason = rest.partition(" ")
            yield name, value, reason


def _file(module: str) -> str:
    """Where a module's source is, from the folder that the package lies in."""
    path = Path(*module.split("."))
    is_package = (_ROOT / path).is_dir()
    return str(path / "__init__.py" if is_package else path.with_suffix(".py"))


@lru_cache
def _tree(module: str) -> ast.Module:
    return ast.parse((_ROOT / _file(module)).read_text())


def _imports(module: str) -> set[str]:
    """The watched modules that a module imports, at any depth, or names as registries do."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
            names.add(node.module)
        elif isinstance(node, ast.Constant):
            names.add(str(node.value))
    watched = {name for name in names if name.startswith(_WATCHED)} - _IN_KEYS
    return {name for name in watched if (_ROOT / _file(name)).is_file()}


def _version(step: str) -> int:
    """VERSION of a step, read from its source, so that no model library is loaded."""
    for node in _tree(STEPS[step]).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{STEPS[step]} has no VERSION")


@lru_cache
def _hash(module: str) -> str:
    return digest(_plain(_tree(module)))[:12]


def _plain(node: Any) -> Any:
    """A syntax tree as plain data, the same in every version of Python; docstrings left out."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(fields.get("body"), list) and _is_text(fields["body"][0]):
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, {name: _plain(value) for name, value in fields.items()}]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def main() -> None:
    """Say what changed, or record it."""
    parser = argparse.ArgumentParser(prog="python -m omnicost.sweep.step_versions")
    parser.add_argument("--record", metavar="WHY", help="take the present code as recorded")
    why = parser.parse_args().record
    if why:
        record(why)
    told = explained(changes())
    print(*told, sep="\n", end="\n" * bool(told))
    if not told and not is_recorded():
        print(f"A VERSION was raised, or a module came or went: {COMMAND}")
    raise SystemExit(0 if is_recorded() else 1)


if __name__ == "__main__":
    main()
