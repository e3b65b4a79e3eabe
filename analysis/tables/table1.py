"""Table 1: labelling seconds of an average image, as printed and by the cost model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.recorded import FULL, KINDS, PAPER_SETS, TINY_SETS, Results, Section, written
from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.results import recorded_table


def make(results: Results, out: Path) -> Section:
    """Paper, cost model, and what the tiny rows were priced at."""
    printed = recorded_table(1).set_index(["annotation_type", "dataset"])["seconds_per_image"]
    lines = []
    for kind in (*KINDS, "mask"):
        policy = FULL if kind == "mask" else Policy.cell(kind, 0.0)
        line = {"labels": kind}
        for name in PAPER_SETS:
            line[f"{name}, paper"] = f"{printed[kind, name]:g}"
            line[f"{name}, model"] = f"{seconds_per_image(policy, dataset_stats(name)):.1f}"
        for name in TINY_SETS:
            line[name] = _tiny(results, name, policy)
        lines.append(line)
    table = written(pd.DataFrame(lines), out, "table1")
    return Section("Table 1: labelling seconds an image", table)


def _tiny(results: Results, name: str, policy: Policy) -> str:
    seconds = {row.seconds_per_image for row in results.students(name) if row.policy == policy}
    return f"{seconds.pop():.1f}" if seconds else "-"
