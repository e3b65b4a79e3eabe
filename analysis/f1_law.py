"""Can students be foretold from their pseudo-masks? F1 at IoU 0.5 against the share of full AP.

A student learns from real masks on a share f of the images and pseudo-masks of F1 on the rest: its
labels have f + (1 - f) F1. The law says that its share of full supervision is a power of that, with
one exponent. It is fitted to the other worlds and held to the one left out, beside carrying over
the others' shares of the same cell, and the planner's surface carried over (`plan --like`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from analysis.recorded import FRESH, FULL, TINY_SETS, Results, Section, cells_of, written
from omnicost.annotation import Policy
from omnicost.results import Row


class Sample(NamedTuple):
    """One cell of one world: its labels' F1 and its students' share of full supervision."""

    policy: Policy
    labels_f1: float
    share: float


def samples(rows: Sequence[Row]) -> list[Sample]:
    """The weak cells of a world, means over seeds; none without full supervision."""
    aps, scores = cells_of(rows), cells_of(rows, "teacher_f1")
    if FULL not in aps:
        return []
    return [
        Sample(policy, labels_f1(policy, score.mean), aps[policy].mean / aps[FULL].mean)
        for policy, score in scores.items()
    ]


def labels_f1(policy: Policy, teacher_f1_percent: float) -> float:
    """F1 of all labels, taking real masks as right."""
    return policy.mask_share + (1 - policy.mask_share) * teacher_f1_percent / 100


def exponent(known: Sequence[Sample]) -> float:
    """The power that fits the shares best in the least squares."""
    scores, shares = (
        np.array([getattr(one, name) for one in known]) for name in ("labels_f1", "share")
    )
    fit = minimize_scalar(
        lambda g: ((scores**g - shares) ** 2).sum(), bounds=(0.0, 5.0), method="bounded"
    )
    return float(fit.x)


def error(known: Sequence[Sample], held: Sequence[Sample]) -> float:
    """Mean absolute error of the law, fitted to the known, on the held."""
    power = exponent(known)
    return float(np.mean([abs(one.labels_f1**power - one.share) for one in held]))


def carried_over(others: Sequence[Sequence[Sample]], held: Sequence[Sample]) -> float:
    """Mean absolute error of the others' mean share of the same cell."""
    shares: dict[Policy, list[float]] = {}
    for one in (one for other in others for one in other):
        shares.setdefault(one.policy, []).append(one.share)
    common = [one for one in held if one.policy in shares]
    return float(np.mean([abs(np.mean(shares[one.policy]) - one.share) for one in common]))


def surface_error(rows: Mapping[str, Sequence[Row]], held: str) -> float:
    """Mean absolute error of the planner's surface, carried over from the other worlds."""
    from analysis.planner import leave_one_dataset_out as planner
    from omnicost.forecast.observations import observe

    observed = [observe(own) for own in rows.values()]
    own = next(one for one in observed if one.dataset == held)
    draw = np.random.default_rng(0)
    surface = planner.transfer(planner.references(own, observed), own.images, draw, planner.DRAWS)
    weak = np.flatnonzero(~own.is_full).tolist()
    cells = planner.predict(surface, own, weak)
    return float(np.mean([abs(cell.predicted - cell.recorded) for cell in cells]))


def make(results: Results, out: Path) -> Section:
    """The law within each world and from the others."""
    rows = {name: results.students(name) for name in TINY_SETS}
    worlds = {name: own for name in TINY_SETS if (own := samples(rows[name]))}
    title = "The forecast without students: F1 of the pseudo-masks"
    if not worlds:
        return Section(title, f"{_intro()}\n\nNo rows yet.")
    lines = [_line(name, worlds, {n: rows[n] for n in worlds}) for name in worlds]
    fresh = results.students(FRESH)
    if own := samples(fresh):  # another start of one world, foretold from the other worlds' whole
        found = _line(TINY_SETS[0], {**worlds, TINY_SETS[0]: own}, {**rows, TINY_SETS[0]: fresh})
        lines.append({**found, "world": FRESH})
    table = written(pd.DataFrame(lines), out, "f1_law")
    return Section(title, f"{_intro()}\n\n{table}")


def _intro() -> str:
    return (
        "Share of full supervision = (F1 of all labels)^g. Errors are means of absolute errors, as "
        "shares of full supervision, over the weak cells of a world: of the law fitted to that "
        "world, and of three ways to foretell it from the other worlds."
    )


def _line(
    name: str, worlds: Mapping[str, list[Sample]], rows: Mapping[str, Sequence[Row]]
) -> dict[str, str]:
    held = worlds[name]
    others = [own for other, own in worlds.items() if other != name]
    scores, shares = [one.labels_f1 for one in held], [one.share for one in held]
    line = {
        "world": name,
        "cells": str(len(held)),
        "r": f"{np.corrcoef(scores, shares)[0, 1]:.2f}" if len(held) > 2 else "-",
        "g": f"{exponent(held):.2f}",
        "law, own g": f"{error(held, held):.3f}",
    }
    ways = ("law, others' g", "others' shares", "planner's surface")
    if not others:
        return line | dict.fromkeys(ways, "-")
    known = [one for other in others for one in other]
    figures = [error(known, held), carried_over(others, held)]
    told = [f"{value:.3f}" for value in figures]
    told.append(f"{surface_error(rows, name):.3f}" if len(others) > 1 else "-")
    return line | dict(zip(ways, told, strict=True))
