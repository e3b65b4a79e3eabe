"""Does a pilot plan as well as all students do? A hundred masked pictures, teachers, no student.

The project is tiny-coco's training pictures. `omnicost pilot` lists 100 of them, whose masks are
then known; `omnicost sweep CARD --teacher-only` measures pseudo-masks of every type by teachers
tuned on none, a quarter and half of the 100; plans for 20 budgets are made from these rows alone.
Beside them: plans from all recorded students of the same world, and the one-line rule. The *truth*
is those students' cells, means over seeds, read as `regret` reads them; so plans from the
students know it but for their smoothing, and those of the pilot have never seen it. What a pilot
costs is not counted.

    python -m analysis.planner.pilot_regret                     # from recorded rows, seconds
    python -m analysis.planner.pilot_regret --measure WORK      # sweeps anew first, minutes

Run it with `--measure` again when the tiny world, its models or the card `demo` change.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.planner.regret import BUDGETS, budgets, truth
from analysis.recorded import RESULTS
from omnicost.cost import DatasetStats, LabellingTimes, draw_spend, type_seconds
from omnicost.forecast.observations import observe
from omnicost.plan import Question, gather, statistics_from_rows
from omnicost.plan.answer import simplest_answer
from omnicost.plan.optimise import Problem, best_for_budget
from omnicost.plan.pilot import IMAGES, SHARES
from omnicost.plan.rule import strongest_affordable
from omnicost.results import Row, TeacherRow, read_rows, read_teacher_rows

TINY: Final = RESULTS / "tiny" / "version-1"  # of the worlds as first drawn: students and pilots
WORLD: Final = "tiny-coco"
STUDENTS: Final = ("tiny-coco.jsonl", "demo.jsonl")
"""Recorded students of the world, the fullest table first."""
DRAWS: Final = 1000


def measure(work: Path, pilot: int, base: str, results: Path, cpus: int) -> None:
    """Choose a pilot's pictures, label them as they are, and measure teachers on them.

    Args:
        work: folder for pictures, lists and the sweep's store.
        pilot: seed of the list of pictures.
        base: card whose recipe the teachers get.
        results: folder for the rows.
        cpus: that the sweep may use.
    """
    from omnicost.data.opening import open_dataset

    dataset = open_dataset(WORLD, "train", cache=work)
    truth_file = work / "instances_train.json"
    truth_file.write_text(json.dumps(dataset.to_coco()))
    folder = work / f"pilot-{pilot}"
    _omnicost("pilot", "--images", truth_file, "--annotations", truth_file, "--count", IMAGES,
              "--seed", pilot, "--out", folder)  # fmt: skip
    with (folder / "manifest.csv").open() as file:
        masked = [int(row["image_id"]) for row in csv.DictReader(file)
                  if row["annotation_type"] == "mask"]  # fmt: skip
    chosen = dataset.take([dataset.index_of(image) for image in masked])
    pictures = folder / "labelled" / "images"
    pictures.mkdir(parents=True)
    (folder / "labelled" / "instances.json").write_text(json.dumps(chosen.to_coco()))
    for index in range(len(chosen)):
        shutil.copy(chosen.path(index), pictures / chosen.path(index).name)
    card, root = folder / "card.yaml", str(pictures.parent.resolve())
    card.write_text(
        f"base: {base}\nname: pilot-{pilot}\nseeds: [0]\n"
        f"datasets: [{{name: pilot, root: {json.dumps(root)}, train: all, val: all}}]\n"
        f"grid: {{mask_shares: {list(SHARES)}}}\n"
    )
    _omnicost("sweep", card, "--teacher-only", "--store", work / "store", "--results", results,
              "--cpus", cpus)  # fmt: skip


def _omnicost(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "omnicost", *map(str, arguments)], check=True)


def regrets(
    students: Sequence[Row], pilots: Mapping[str, Sequence[TeacherRow]]
) -> dict[str, dict[str, float]]:
    """Mean AP short of the best over the budgets, by truth and way of planning."""
    stats = statistics_from_rows(students, None, LabellingTimes())
    images, seconds = stats.images, type_seconds(stats)

    def believed(**evidence: Any) -> Problem:
        rng = np.random.default_rng(0)
        return Problem(images, seconds, gather(images, rng, draws=DRAWS, **evidence).surface)

    ways = {"all students": believed(rows=students)}
    ways |= {name: believed(teachers=rows) for name, rows in pilots.items()}
    found = {}
    for label, flat in (("worth on a line to the fewest masks", False), ("flat until them", True)):
        real = Problem(images, seconds, truth(observe(students), flat))
        lost = [_lost(real, ways, stats, budget) for budget in budgets(stats)]
        found[label] = {way: float(np.mean([one[way] for one in lost])) for way in lost[0]}
    return found


def _lost(
    real: Problem, ways: dict[str, Problem], stats: DatasetStats, budget: float
) -> dict[str, float]:
    """AP short of the best for one budget, by way of planning."""
    spend = draw_spend(stats, LabellingTimes(), np.random.default_rng(0), 2)
    question = Question(budget / 3600)
    chosen = {way: simplest_answer(question, problem, spend) for way, problem in ways.items()}
    chosen["the rule"] = strongest_affordable(real, budget)
    best = float(real.share_of_full(best_for_budget(real, budget)))
    scale = real.surface.scale
    return {way: scale * (best - float(real.share_of_full(one))) for way, one in chosen.items()}


def students_of(results: Path) -> Path:
    """The fullest table of the world's students that is recorded."""
    return next(path for name in STUDENTS if (path := results / name).exists())


def pilots_of(results: Path) -> dict[str, list[TeacherRow]]:
    """The rows of every recorded pilot, by name."""
    files = sorted(results.glob("pilot-*.teacher.jsonl"))
    return {path.name.split(".")[0]: read_teacher_rows(path) for path in files}


def told(name: str, rows: Sequence[Row] | Sequence[TeacherRow]) -> str:
    """Which rows are compared."""
    recipes = ", ".join(sorted({row.config_hash for row in rows}))
    seeds = ", ".join(map(str, sorted({row.seed for row in rows})))
    return f"{name}: {len(rows)} rows, seeds {seeds}, recipe {recipes}"


def main() -> None:
    """Print the mean regrets and which rows they come from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, metavar="WORK", help="sweep first, in this folder")
    parser.add_argument("--pilots", default="0", help="seeds of the lists of pictures, as 0,1,2")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--results", type=Path, default=TINY, help="folder of recorded rows")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    students = students_of(arguments.results)
    seeds = [int(part) for part in arguments.pilots.split(",")]
    if arguments.measure is not None:
        arguments.measure.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            measure(arguments.measure, seed, students.stem, arguments.results, arguments.cpus)
    rows = read_rows(students)
    pilots = pilots_of(arguments.results)
    found = regrets(rows, pilots)
    compared = [told(name, own) for name, own in ({students.stem: rows} | pilots).items()]
    if len({row.config_hash for own in (rows, *pilots.values()) for row in own}) > 1:
        compared.append("These are of several recipes: give --measure to compare like with like.")
    if arguments.json:
        print(json.dumps({"rows": compared, "regret": found}, indent=2))
        return
    print(*compared, sep="\n")
    print(f"\nmean AP short of hindsight over {BUDGETS} budgets")
    for label, by_way in found.items():
        print(f"\n{label}")
        for way, value in by_way.items():
            print(f"  {way:14}{value:6.2f}")


if __name__ == "__main__":
    main()
