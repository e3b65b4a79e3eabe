"""Each claim of the paper, tested on the tiny rows with an interval over seeds, per data set.

A claim is a contrast: a weighted sum of cells that should be above nothing. Its interval is
Student's, at 95%, from the scatter of all cells of the data set together, so that three seeds a
cell suffice. Cells of one seed share images, labels and weights: what they have in common is
estimated apart (two-way layout of cells and seeds), since it leaves differences alone. A claim
holds if the whole interval is above nothing, fails if all of it is below, and is undecided
otherwise. Where the best of k cells was picked the lower end is Bonferroni's for k; the upper is
not, for if the best is below nothing, all are. The paper's tables have one student a cell, so no
interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from analysis.recorded import (
    FRESH,
    FULL,
    KINDS,
    NOTHING,
    PAPER_SETS,
    SHARES,
    TINY_SETS,
    Cell,
    Results,
    Section,
    cells_of,
    paper_cells,
    written,
)
from analysis.tables import table4, table5
from analysis.tables.table5 import Setting
from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, saving, seconds_per_image
from omnicost.results import Row

LEVEL: Final = 0.95
EQUAL_WITHIN_AP: Final = 1.0  # a mixture is worth the mean of its parts to within this
Terms = list[tuple[float, Cell]]


class Found(NamedTuple):
    """A contrast's estimate and its interval; no interval without a spread over seeds."""

    estimate: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Whether the contrast is above nothing."""
        if self.low is None or self.high is None:
            return "yes" if self.estimate > 0 else "no"
        return "holds" if self.low > 0 else "fails" if self.high < 0 else "undecided"

    def span(self) -> str:
        """Estimate and interval."""
        if self.low is None:
            return f"{self.estimate:+.1f}"
        return f"{self.estimate:+.1f} ({self.low:+.1f} to {self.high:+.1f})"

    def text(self) -> str:
        """Estimate, interval and verdict."""
        if self.low is None:
            return f"{self.span()} {self.verdict}"
        return f"{self.span()} **{self.verdict}**"


@dataclass(frozen=True)
class Measured:
    """What is known of one data set: cells of the tables' grids, by where they stand."""

    grid: Mapping[Policy, Cell]  # Table 2's
    untuned: Mapping[Policy, Cell]  # Table 4's
    teachers: Mapping[Setting, Cell]  # Table 5's
    savings: Mapping[Policy, float]  # against masks on every image

    def at(self, kind: str, share: float) -> Cell:
        """A cell of Table 2."""
        return self.grid.get(Policy.cell(kind, share), NOTHING)


class Claim(NamedTuple):
    """What is claimed, and the contrast that should be above nothing."""

    words: str
    terms: Callable[[Measured], Terms]
    pool: str  # of which cells' scatter the interval is made: grid, students, teachers
    among: Callable[[Measured], int] = lambda _: 1  # of how many cells the best was picked


class Scatter(NamedTuple):
    """Standard deviations of a cell's run, and of what all runs of a seed share."""

    freedom: int  # degrees, of `own`
    own: float
    shared: float


def contrast(terms: Terms, pool: Iterable[Cell], among: int = 1) -> Found | None:
    """The weighted sum of the cells, chosen as the best `among` so many; None if one of them was
    not measured."""
    if not terms or any(not cell.values for _, cell in terms):
        return None
    estimate = sum(weight * cell.mean for weight, cell in terms)
    scatter = scatter_of(pool)
    if not scatter.freedom:
        return Found(estimate, None, None)
    by_seed: dict[int, float] = defaultdict(float)
    for weight, cell in terms:
        for seed in cell.seeds:
            by_seed[seed] += weight / len(cell.seeds)
    variance = scatter.own**2 * sum(weight**2 / len(cell.values) for weight, cell in terms)
    variance += scatter.shared**2 * sum(weight**2 for weight in by_seed.values())
    tail, error = (1 - LEVEL) / 2, float(np.sqrt(variance))
    down, up = (float(stats.t.isf(each, scatter.freedom)) for each in (tail / among, tail))
    return Found(estimate, estimate - error * down, estimate + error * up)


def scatter_of(pool: Iterable[Cell]) -> Scatter:
    """Runs as cell + seed + rest, by least squares; cells of one seed have no say."""
    cells = [cell for cell in pool if len(cell.values) > 1]
    runs = [
        (row, seed, value)
        for row, cell in enumerate(cells)
        for seed, value in zip(cell.seeds, cell.values, strict=True)
    ]
    if not runs:
        return Scatter(0, 0.0, 0.0)
    rows, names, values = (np.array(column) for column in zip(*runs, strict=True))
    seeds, of_run, counts = np.unique(names, return_inverse=True, return_counts=True)
    design = np.hstack([np.eye(len(cells))[rows], np.eye(len(seeds))[of_run]])
    # The solution of least norm: where every cell has every seed, seeds' effects differ as means.
    effects, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(values) - int(rank)
    if not freedom:
        return Scatter(0, 0.0, 0.0)
    own = float(((values - design @ effects) ** 2).sum()) / freedom
    shared = float(effects[len(cells) :].var(ddof=1)) - own * float((1 / counts).mean())
    return Scatter(freedom, np.sqrt(own), np.sqrt(max(shared, 0.0)))


def pooled_spread(pool: Iterable[Cell]) -> tuple[int, float]:
    """Degrees of freedom and standard deviation over seeds, all cells together."""
    values = [np.array(cell.values) for cell in pool if len(cell.values) > 1]
    freedom = sum(len(own) - 1 for own in values)
    squares = sum(float(((own - own.mean()) ** 2).sum()) for own in values)
    return freedom, float(np.sqrt(squares / freedom)) if freedom else 0.0


def mean_of(signed: Sequence[tuple[float, Cell]]) -> Terms:
    """The mean of as many differences as there are added cells."""
    count = sum(weight > 0 for weight, _ in signed)
    return [(weight / count, cell) for weight, cell in signed]


def _over(one: str, other: str) -> Callable[[Measured], Terms]:
    def terms(data: Measured) -> Terms:
        pairs = [(data.at(one, share), data.at(other, share)) for share in SHARES]
        measured = [(a, b) for a, b in pairs if a.values and b.values]
        return mean_of([part for a, b in measured for part in ((1.0, a), (-1.0, b))])

    return terms


def _tuning(data: Measured) -> Terms:
    cells = [Policy.cell(kind, share) for kind in KINDS for share in SHARES[1:]]
    tuned = [(1.0, data.grid.get(policy, NOTHING)) for policy in cells]
    return mean_of(tuned + [(-1.0, data.untuned.get(policy, NOTHING)) for policy in cells])


def _masks_alone(data: Measured) -> Terms:
    """How far the gain of masks on a tenth stays under half of the gain with tuning."""
    more, less = ([Policy.cell(kind, share) for kind in KINDS] for share in (0.1, 0.0))
    with_tuning = [(0.5, data.grid.get(p, NOTHING)) for p in more]
    with_tuning += [(-0.5, data.grid.get(p, NOTHING)) for p in less]
    alone = [(-1.0, data.untuned.get(p, NOTHING)) for p in more]
    alone += [(1.0, data.untuned.get(p, NOTHING)) for p in less]
    return [(weight / len(KINDS), cell) for weight, cell in with_tuning + alone]


def _teacher(*signs: tuple[float, bool | None, str]) -> Callable[[Measured], Terms]:
    """Settings of Table 5, averaged over its mask shares; None: with and without class prompts."""

    def terms(data: Measured) -> Terms:
        signed = []
        for share in SHARES[1:]:
            for weight, aware, prompt in signs:
                for is_aware in (False, True) if aware is None else (aware,):
                    cell = data.teachers.get(Setting(share, is_aware, prompt), NOTHING)
                    signed.append((weight / (2 if aware is None else 1) / 2, cell))
        return signed

    return terms


def _first_masks(over: float) -> Callable[[Measured], Terms]:
    """AP at 1% above that at 0% and this much of the way to 10%, mean over the types."""

    def terms(data: Measured) -> Terms:
        parts = ((1.0, 0.01), (over - 1.0, 0.0), (-over, 0.1))
        return [
            (weight / len(KINDS), data.at(kind, share))
            for kind in KINDS
            for weight, share in parts
            if weight
        ]

    return terms


def _reaches(kind: str, share: float, level: float) -> Callable[[Measured], Terms]:
    return lambda data: [(1.0, data.at(kind, share)), (-level, data.grid.get(FULL, NOTHING))]


def _cheap(data: Measured) -> list[Policy]:
    """Cells that save seven times."""
    return [p for p, times in data.savings.items() if times >= 7 and p in data.grid]


def _headline(data: Measured) -> Terms:
    """The best cell that saves seven times."""
    cheap = _cheap(data)
    if not cheap:
        return []
    best = max(cheap, key=lambda policy: data.grid[policy].mean)
    return [(1.0, data.grid[best]), (-0.95, data.grid.get(FULL, NOTHING))]


CLAIMS: Final = (
    Claim("class labels beat none (AP, mean over mask shares)", _over("class", "none"), "grid"),
    Claim("points beat class labels (AP)", _over("point", "class"), "grid"),
    Claim("boxes beat points (AP)", _over("box", "point"), "grid"),
    Claim("tuning SAM helps beyond adding the same masks (AP)", _tuning, "students"),
    Claim("masks alone give less than half of that gain (AP)", _masks_alone, "students"),
    Claim(
        "class prompts help points (mIoU)",
        _teacher((1, True, "point"), (-1, False, "point")),
        "teachers",
    ),
    Claim(
        "class prompts help points more than boxes (mIoU)",
        _teacher((1, True, "point"), (-1, False, "point"), (-1, True, "box"), (1, False, "box")),
        "teachers",
    ),
    Claim(
        "GroundingDINO's boxes help points (mIoU)",
        _teacher((1, None, "point+detector"), (-1, None, "point")),
        "teachers",
    ),
    Claim("masks on 1% help (AP, mean over types)", _first_masks(0.0), "grid"),
    Claim("masks on 1% give most of what 10% give (AP)", _first_masks(0.5), "grid"),
    Claim("boxes, 10% masks: over 97% of full (AP)", _reaches("box", 0.1, 0.97), "grid"),
    Claim("boxes, 1% masks: over 90% of full (AP)", _reaches("box", 0.01, 0.90), "grid"),
    Claim("points, 10% masks: over 89% of full (AP)", _reaches("point", 0.1, 0.89), "grid"),
    Claim("points, 1% masks: over 81% of full (AP)", _reaches("point", 0.01, 0.81), "grid"),
    Claim("class labels alone: over 73% of full (AP)", _reaches("class", 0.0, 0.73), "grid"),
    Claim(
        "some cell: over 95% of full at a seventh of the cost (AP)",
        _headline,
        "grid",
        among=lambda data: len(_cheap(data)),
    ),
)


def of_paper(dataset: str) -> Measured:
    """The paper's own tables; 4 and 5 are of COCO alone."""
    grid, stats_of = paper_cells(dataset), dataset_stats(dataset)
    savings = {
        p: saving(p, stats_of) for p in grid if p.weak_types and seconds_per_image(p, stats_of)
    }
    alone = dataset != "coco"
    return Measured(
        grid,
        {} if alone else table4.paper_untuned(),
        {} if alone else table5.paper_teachers(),
        savings,
    )


def of_tiny(results: Results, dataset: str) -> Measured:
    """A tiny data set's rows; 4 and 5 were measured on tiny-coco alone."""
    rows = results.students(dataset)
    alone = dataset != "tiny-coco"
    return Measured(
        cells_of(rows),
        {} if alone else cells_of(results.students(table4.CARD)),
        {} if alone else table5.tiny_teachers(results.teachers(table5.CARD)),
        _savings(rows),
    )


def _savings(rows: Sequence[Row]) -> dict[Policy, float]:
    seconds = {row.policy: row.seconds_per_image for row in rows}
    full = seconds.get(FULL)
    return {p: full / own for p, own in seconds.items() if full and own and p != FULL}


def tested(claim: Claim, data: Measured) -> Found | None:
    """A claim on a data set; None where its cells were not measured."""
    students = [*data.grid.values(), *data.untuned.values()]
    pools = {
        "grid": list(data.grid.values()),
        "students": students,
        "teachers": list(data.teachers.values()),
    }
    return contrast(claim.terms(data), pools[claim.pool], claim.among(data))


def make(results: Results, out: Path) -> Section:
    """All claims on all data sets, and how many data sets each holds on."""
    data = {name: of_paper(name) for name in PAPER_SETS}
    data |= {name: of_tiny(results, name) for name in (*TINY_SETS, FRESH)}
    lines = []
    for claim in CLAIMS:
        found = {name: tested(claim, own) for name, own in data.items()}
        lines.append(
            {"claim": claim.words, "tiny, m of n": _count(found, TINY_SETS)} | _texts(found)
        )
    table = written(pd.DataFrame(lines), out, "claims")
    spreads = {name: pooled_spread(own.grid.values()) for name, own in data.items()}
    told = [
        f"{name} {spread:.2f} ({free} degrees of freedom)"
        for name, (free, spread) in spreads.items()
        if free
    ]
    note = (
        "How far a claim's contrast is above nothing, with its 95% interval over seeds; the "
        "paper's one student a cell has none. *m of n*: data sets where it holds, of those "
        f"measured. Students of the tiny sets start whole, those of {FRESH} as the paper's: from "
        "a pretrained backbone and a fresh head, ten times as long.\n\n"
        f"Spread over seeds of one cell's AP, pooled: {'; '.join(told) or 'no rows yet'}."
    )
    return Section("Claims", f"{note}\n\n{table}\n\n{_mixtures(results, out)}")


def _count(found: Mapping[str, Found | None], names: Sequence[str]) -> str:
    known = [own.verdict for name in names if (own := found[name]) is not None]
    return f"{known.count('holds')} of {len(known)}" if known else "-"


def _texts(found: Mapping[str, Found | None]) -> dict[str, str]:
    return {name: "-" if own is None else own.text() for name, own in found.items()}


def _mixtures(results: Results, out: Path) -> str:
    """Whether two halves are worth the mean of their pure cells, as the planner assumes."""
    cells = cells_of(results.students("tiny-mixtures"))
    lines: list[dict[str, Any]] = []
    for policy in (p for p in cells if len(p.weak_types) == 2):
        parts = [
            (-share, cells.get(Policy.of({kind: 1.0}), NOTHING)) for kind, share in policy.shares
        ]
        found = contrast([(1.0, cells[policy]), *parts], cells.values())
        if found is not None:
            lines.append(
                {"mixture": str(policy), "departure": found.span(), "linear": _linear(found)}
            )
    title = (
        "**Mixtures of weak types**, AP above the line between their pure cells; linear if the "
        f"whole interval is within {EQUAL_WITHIN_AP:g} AP of it:"
    )
    body = written(pd.DataFrame(lines), out, "mixtures") if lines else "no rows yet."
    return f"{title}\n\n{body}"


def _linear(found: Found) -> str:
    if found.low is None or found.high is None:
        return "undecided"
    if max(abs(found.low), abs(found.high)) <= EQUAL_WITHIN_AP:
        return "holds"
    return "fails" if found.low > 0 or found.high < 0 else "undecided"
