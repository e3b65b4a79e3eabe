"""Recipes of one card compared seed by seed: how much AP a change gains, with an interval.

Cells of one data set, policy and seed share images, labels and weights; their difference is free
of what a seed has in common. Intervals are Student's, at 95%, over seeds; of all policies, over the
means of each seed, since what a seed's policies share (images, teachers) makes their differences
alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from analysis.claims import LEVEL, Found
from analysis.recorded import Results, Section, written
from omnicost.annotation import Policy
from omnicost.results import Row

BASES: Final = {"tiny-assignment": "random", "tiny-robust": "plain", "tiny-trunk": "own"}


class Pair(NamedTuple):
    """A cell of the changed recipe less that of the base."""

    dataset: str
    policy: Policy
    seed: int
    ap: float
    base_ap: float


def pairs(rows: Sequence[Row], base: str, variant: str) -> list[Pair]:
    """The differences in AP of the cells that both recipes have."""
    at = {(row.dataset, row.policy, row.seed, row.variant): row.ap for row in rows}
    return [
        Pair(dataset, policy, seed, ap - base_ap, base_ap)
        for (dataset, policy, seed, name), ap in at.items()
        if name == variant and (base_ap := at.get((dataset, policy, seed, base))) is not None
    ]


def gain(differences: Sequence[float]) -> Found | None:
    """Mean difference and its interval; none with one difference, nothing without any."""
    values = np.array(differences)
    if not len(values):
        return None
    if len(values) < 2:
        return Found(float(values[0]), None, None)
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = float(error * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return Found(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)


def table(rows: Sequence[Row], base: str) -> pd.DataFrame:
    """A row a policy, one a data set and one of all: gain of each recipe over the base, pairs in
    brackets."""
    variants = sorted({row.variant for row in rows} - {base})
    found = {variant: pairs(rows, base, variant) for variant in variants}
    policies = sorted({row.policy for row in rows}, key=lambda p: (p.mask_share, str(p)))
    lines = [
        {"policy": str(policy)}
        | {v: _told([p.ap for p in found[v] if p.policy == policy]) for v in variants}
        for policy in policies
    ]
    datasets = sorted({row.dataset for row in rows})
    for dataset in datasets if len(datasets) > 1 else ():
        own = {v: [p for p in found[v] if p.dataset == dataset] for v in variants}
        lines.append({"policy": dataset} | {v: _told(seed_means(own[v])) for v in variants})
    lines.append({"policy": "all"} | {v: _told(seed_means(found[v])) for v in variants})
    return pd.DataFrame(lines)


def seed_means(found: Sequence[Pair]) -> list[float]:
    """Means over the policies of each data set's seed, where as many were run as of any."""
    by_seed: dict[tuple[str, int], list[float]] = defaultdict(list)
    for each in found:
        by_seed[each.dataset, each.seed].append(each.ap)
    most = max(map(len, by_seed.values()), default=0)
    return [float(np.mean(own)) for own in by_seed.values() if len(own) == most]


def _told(differences: Sequence[float]) -> str:
    found = gain(differences)
    return "-" if found is None else f"{found.text()} [{len(differences)}]"


def make(results: Results, out: Path) -> Section:
    """Where masks go, students that trust pseudo-masks less, trunks: against the defaults."""
    parts = []
    for card, base in BASES.items():
        rows = results.students(card)
        told = written(table(rows, base), out, card) if rows else "no rows yet."
        parts.append(f"**{card}**, AP over {base}:\n\n{told}")
    note = (
        "AP gained over the default by cells of one data set, policy and seed, with the 95% "
        "interval over these; how many in brackets."
    )
    return Section(
        "Recipes side by side: the paper's future work, and a shared trunk",
        "\n\n".join([note, *parts]),
    )
