"""VERSION of a step and the code behind it: which change needs which."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from omnicost.sweep import step_versions
from omnicost.sweep.stages.stage_functions import STAGE_KINDS
from omnicost.sweep.step_versions import COMMAND, STEPS, changes, explained, is_recorded, modules_of

REFINE = "omnicost/pipeline/pseudomask/refine.py"
GENERATE = "omnicost/pipeline/pseudomask/generate.py"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout to change by hand, with its record."""
    package = tmp_path / "omnicost"
    for part in ("pipeline", "models", "data"):
        source = Path(step_versions.__file__).parents[1] / part
        shutil.copytree(source, package / part, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(step_versions, "_ROOT", tmp_path)
    monkeypatch.setattr(step_versions, "_RECORD", tmp_path / "record.txt")
    (tmp_path / "record.txt").write_text("")
    forget()
    step_versions.record("first")
    yield tmp_path
    forget()


def forget() -> None:
    step_versions._tree.cache_clear()
    step_versions._hash.cache_clear()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    forget()


def raise_version(path: Path) -> None:
    found = re.search(r"VERSION = (\d+)", path.read_text())
    assert found
    edit(path, found[0], f"VERSION = {int(found[1]) + 1}")


def test_code_of_steps_is_as_recorded() -> None:
    """A step's code changes together with its VERSION, or somebody said why not."""
    told = explained(changes())
    assert not told, "\n".join(told)
    assert is_recorded(), f"a VERSION was raised, or a module came or went: {COMMAND}"


def test_kinds_have_the_versions_of_their_steps() -> None:
    """What the record reads from the source is what keys have."""
    for step, module in STEPS.items():
        assert (
            STAGE_KINDS[step].version
            == import_module(module).VERSION
            == step_versions._version(step)
        )
    assert set(STAGE_KINDS) == {*STEPS, "salvage"}


def test_changed_line_is_told_with_what_to_do(copy: Path) -> None:
    """A changed line of refine.py names the file, the step and its home, and the command."""
    edit(copy / REFINE, "config.alpha", "2 * config.alpha")
    what, remedy = explained(changes())
    assert what == f"{REFINE} changed, VERSION of pseudomask did not"
    assert GENERATE in remedy
    assert COMMAND in remedy
    assert changes(["embed", "student"]) == []


def test_raised_version_or_a_reason_mends_it(copy: Path) -> None:
    """Either way the record is written anew, and only what changed gets the new reason."""
    edit(copy / REFINE, "config.alpha", "2 * config.alpha")
    raise_version(copy / GENERATE)
    assert changes() == []
    assert not is_recorded()
    step_versions.record("twice as far")
    assert is_recorded()
    lines = step_versions._lines()
    assert {name for name, _, reason in lines if reason == "twice as far"} == {
        "step pseudomask",
        GENERATE,
        REFINE,
    }
    edit(copy / REFINE, "2 * config.alpha", "config.alpha * 2")
    step_versions.record("the same product")
    assert changes() == []


def test_comments_docstrings_and_layout_do_not_count(copy: Path) -> None:
    """Only the syntax tree does."""
    edit(copy / REFINE, '"""', '"""Now with another docstring. ')
    edit(copy / REFINE, "import numpy as np", "import numpy as np  # numbers\n")
    assert changes() == []


def test_shared_code_counts_for_every_step_that_has_it(copy: Path) -> None:
    """Prompting is part of two steps; a student's criterion is found through its registry."""
    edit(copy / "omnicost/pipeline/teacher/prompting.py", "return", "return None or")
    edit(copy / "omnicost/models/students/criterion.py", "return", "return None or")
    told = {Path(change.path).stem: change.steps for change in changes()}
    assert told == {"prompting": ("teacher", "pseudomask"), "criterion": ("student", "evaluate")}
    assert STEPS["teacher"] not in modules_of("pseudomask")  # which has a VERSION of its own


def test_record_survives_a_merge_conflict(copy: Path) -> None:
    """After a conflict the command alone mends the file."""
    record = copy / "record.txt"
    record.write_text(f"<<<<<<< HEAD\n{record.read_text()}=======\n{REFINE}: 0 x\n>>>>>>> branch\n")
    step_versions.record("merged")
    assert is_recorded()
    assert "<<<<" not in record.read_text()


def test_command_loads_no_model_library() -> None:
    """It reads sources only, so that looking and recording take a second."""
    code = "import sys; from omnicost.sweep.step_versions import changes; changes();"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
