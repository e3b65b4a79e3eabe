"""Every kind of damaged input gets what it must: see `tests/damage/`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from damage.card_cases import CASES as CARDS
from damage.coco_cases import CASES as COCO
from damage.coco_cases import FAULTS, MASKS, WHOLE, Change, put, verbs, written
from damage.model_cases import CASES as MODELS
from damage.option_cases import CASES as OPTIONS
from damage.other_cases import CASES as OTHER
from damage.run import Case, command, parametrised, run

CASES = [*COCO, *OTHER, *CARDS, *OPTIONS, *MODELS]
DAMAGED = {name: (change, ("stats", "cost", "plan", "sweep")) for name, (change, _) in [
    *FAULTS.items(), *WHOLE.items()]} | {
    name: (put("annotations", "segmentation", mask), ("stats", "sweep"))
    for name, (mask, _) in MASKS.items()}  # fmt: skip


@parametrised(CASES)
def test_damaged_input(case: Case, tmp_path: Path) -> None:
    """Refused in one line, told, or read right: never silent, a traceback, a hang, a loss."""
    folder = tmp_path / "input"
    folder.mkdir()
    outcome = run(case, folder)
    assert not outcome.fault, f"{outcome.what}: {outcome.fault}"


@pytest.mark.parametrize(("change", "readers"), DAMAGED.values(), ids=DAMAGED)
def test_readers_say_one_sentence(change: Change, readers: tuple[str, ...], tmp_path: Path) -> None:
    """Whoever reads a damaged file says the same of it, and nothing else."""
    lines = verbs(written(change)(tmp_path))
    assert len({command(lines[reader]) for reader in readers}) == 1


def test_the_table_has_no_case_twice() -> None:
    """Each case has a name of its own."""
    names = [(case.kind, case.name) for case in CASES]
    assert len(set(names)) == len(names)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
