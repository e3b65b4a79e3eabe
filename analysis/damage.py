"""Runs the table of damaged inputs (`tests/damage/`) and counts what came of each.

python analysis/damage.py
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

OUTCOMES = ("refused", "told", "right", "silent", "traceback", "hang", "lost")


def main() -> None:
    """Print a line a kind of damage, and every case that is not as it must be."""
    from damage.card_cases import CASES as CARDS
    from damage.coco_cases import CASES as COCO
    from damage.model_cases import CASES as MODELS
    from damage.option_cases import CASES as OPTIONS
    from damage.other_cases import CASES as OTHER
    from damage.run import run

    counts: dict[str, Counter[str]] = {}
    faults = []
    for case in [*COCO, *OTHER, *CARDS, *OPTIONS, *MODELS]:
        with tempfile.TemporaryDirectory() as folder:
            (place := Path(folder) / "input").mkdir()
            outcome = run(case, place)
        counts.setdefault(case.kind, Counter())[outcome.what] += 1
        if outcome.fault:
            faults.append(f"{case.kind}: {case.name}: {outcome.what}: {outcome.fault}")
    print(f"{'':14}{'tried':>7}" + "".join(f"{name:>11}" for name in OUTCOMES))
    total = sum(counts.values(), Counter())
    for kind, found in [*counts.items(), ("all", total)]:
        figures = "".join(f"{found[name]:>11}" for name in OUTCOMES)
        print(f"{kind:14}{sum(found.values()):>7}{figures}")
    print("\n".join(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
