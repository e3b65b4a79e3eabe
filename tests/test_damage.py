"""Every kind of damaged input gets what it must: see `tests/damage/`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from damage.card_cases import CASES as CARDS
from damage.coco_cases import CASES as COCO
from damage.option_cases import CASES as OPTIONS
from damage.other_cases import CASES as OTHER
from damage.run import Case, parametrised, run

CASES = [*COCO, *OTHER, *CARDS, *OPTIONS]


@parametrised(CASES)
def test_damaged_input(case: Case, tmp_path: Path) -> None:
    """Refused in one line, told, or read right: never silent, a traceback, a hang, a loss."""
    folder = tmp_path / "input"
    folder.mkdir()
    outcome = run(case, folder)
    assert not outcome.fault, f"{outcome.what}: {outcome.fault}"


def test_the_table_has_no_case_twice() -> None:
    """Each case has a name of its own."""
    names = [(case.kind, case.name) for case in CASES]
    assert len(set(names)) == len(names)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
