"""What a plan's surface rests on: a sweep of the data set, others like it, a pilot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import BUILT_IN, ORDER, DatasetStats, LabellingTimes
from omnicost.cost.seconds import COUNTS
from omnicost.errors import InputError
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.quality import qualities, surface_of_quality
from omnicost.forecast.surface import Surface, fit_surface
from omnicost.forecast.transfer import WEAK_EVIDENCE, pilot_surface, transfer
from omnicost.results import PAPER_VARIANT, Row, TeacherRow, comparable, paper_rows


class Evidence(NamedTuple):
    """A surface and how good its grounds are.

    Attributes:
        surface: the smoothed AP surface and its draws.
        grade: a key of `HEADINGS`, strongest first: what the forecast rests on.
        grounds: one line on what the surface rests on.
        notes: what a reader must know of it.
        tested: numbers of masks, under all images, that its students had, ascending.
        reference_images: images of the data set whose AP `surface.full` is, if there is one.
    """

    surface: Surface
    grade: str
    grounds: str
    notes: tuple[str, ...]
    tested: tuple[int, ...]
    reference_images: int | None


MEASURED: Final = "measured"
SINGLE_RUNS: Final = "single runs"
TEACHER_ONLY: Final = "teacher only"
MODERATE: Final = "moderate"
WEAK: Final = "weak"
HEADINGS: Final = {
    MEASURED: "Measured, with repeats",
    SINGLE_RUNS: "Single runs",
    TEACHER_ONLY: "Teacher's masks only",
    MODERATE: "Moderate evidence",
    WEAK: "Weak evidence",
}
"""The grades of evidence as a page says them."""
_PAPER: Final = "the paper's Table 2"


def gather(
    images: int,
    rng: np.random.Generator,
    dataset: str | None = None,
    rows: Sequence[Row] | None = None,
    like: Sequence[str] = (),
    draws: int = 1000,
    teachers: Sequence[TeacherRow] = (),
) -> Evidence:
    """The surface of a project of so many images.

    Args:
        images: images to be labelled.
        rng: source of the draws.
        dataset: which data set's students to use; may be left out where `rows` have one.
        rows: measured students; the paper's Table 2 if not given. With `like`, those of data sets
            that `like` does not name are a pilot of the project.
        like: data sets that the project is like; two or more.
        draws: how many draws of the surface.
        teachers: quality of the project's pseudo-masks, for a project without a student.

    Raises:
        InputError: if rows or names do not fit together.
    """
    if teachers:
        return _gather_teachers(images, rng, rows, like, draws, teachers)
    kept = None if rows is None else comparable(rows)
    stopped = len(rows or ()) - len(kept or ())
    left_out = (f"Left out: {stopped} students that were stopped early.",) if stopped else ()
    if like:
        found = _gather_like(images, rng, dataset, kept, tuple(like), draws)
        return found._replace(notes=(*found.notes, *left_out))
    own = observe(_own_rows(dataset, kept))
    # The paper's other data sets tell the shape of the curves.
    shape = learn_shape([observe(paper_rows(one)) for one in BUILT_IN if one != own.dataset])
    siblings = _siblings(own, kept or ())
    surface = fit_surface(own, shape, rng, draws, images, others=siblings)
    scatter = _scatter(own, siblings, surface)
    origin = _PAPER if kept is None else "the given results"
    return Evidence(
        surface=surface,
        grade=MEASURED if own.repeats >= len(own.cells.ap) else SINGLE_RUNS,
        grounds=f"{len(own.ap)} students of {own.dataset} in {origin}; {scatter}",
        notes=left_out,
        tested=_tested([own]),
        reference_images=own.images,
    )


def _gather_teachers(
    images: int,
    rng: np.random.Generator,
    rows: Sequence[Row] | None,
    like: Sequence[str],
    draws: int,
    teachers: Sequence[TeacherRow],
) -> Evidence:
    if rows or like:
        given = "students" if rows else "`like`"
        problem = f"rows of teachers and {given} are given"
        raise InputError("`results`", problem, "plan from one of them")
    found = qualities(teachers)
    papers = [observe(paper_rows(name)) for name in BUILT_IN]
    scale = float(np.mean([one.ap[one.is_full].mean() for one in papers]))
    surface = surface_of_quality(found, learn_shape(papers), images, scale, rng, draws)
    told = ", ".join(
        f"{weak} {100 * one.f1[0]:.0f}" + (f" to {100 * one.f1[-1]:.0f}" if len(one.f1) > 1 else "")
        for weak, one in found.items()
    )
    tuned = sorted({int(masks) for one in found.values() for masks in one.masks if masks})
    return Evidence(
        surface=surface,
        grade=TEACHER_ONLY,
        grounds=f"F1 of the teacher's pseudo-masks ({told}); what they are worth is F1 to a power "
        "that differs between projects",
        notes=("No student was trained: shares of full supervision are inferred from masks.",),
        tested=tuple(tuned),
        reference_images=None,
    )


def _own_rows(dataset: str | None, rows: Sequence[Row] | None) -> Sequence[Row]:
    if rows is None:
        if dataset is None:
            remedy = "give `dataset`, `results`, or `like` with data sets that yours resembles"
            raise InputError("`dataset`", "no students to plan from", remedy)
        return paper_rows(dataset)
    names = sorted({row.dataset for row in rows})
    if len(names) == 1 and (dataset is None or dataset in BUILT_IN):
        return rows
    own = [row for row in rows if row.dataset == dataset]
    if not own:
        problem = f"holds {', '.join(names)}, not {dataset or 'one data set'}"
        raise InputError("`results`", problem, "choose one of them with `dataset`")
    return own


def _gather_like(
    images: int,
    rng: np.random.Generator,
    dataset: str | None,
    rows: Sequence[Row] | None,
    like: tuple[str, ...],
    draws: int,
) -> Evidence:
    names = tuple(dict.fromkeys(name.strip().lower() for name in like))
    observed = [_reference(name, rows) for name in names]
    surfaces = []
    for one in observed:
        others = [other for other in observed if other.dataset != one.dataset]
        surfaces.append(fit_surface(one, learn_shape(others), rng, draws, images))
    listed = ", ".join(names)
    pilot = [row for row in rows or () if row.dataset not in names]
    if pilot:
        own = observe(_own_rows(dataset, pilot))
        fitted = pilot_surface(own, surfaces, images, rng, draws)
        grounds = f"{len(own.ap)} students of a pilot ({own.dataset}), beside {listed}"
        note = "The pilot has no student on all masks: full supervision itself is inferred."
        notes = () if own.is_full.any() else (note,)
        return Evidence(fitted, MODERATE, grounds, notes, _tested([own]), own.images)
    grade = WEAK if len(names) <= WEAK_EVIDENCE else MODERATE
    note = (
        "Nobody measured this project: labels may be worth far more or far less than on "
        f"{listed}. A pilot narrows this most (omnicost pilot)."
    )
    surface = transfer(surfaces, images, rng, draws)
    freedom = f"t interval, degrees of freedom: {len(names) - 1}"
    grounds = f"{len(names)} other data sets ({listed}), {freedom}"
    return Evidence(surface, grade, grounds, (note,), _tested(observed), None)


def _reference(name: str, rows: Sequence[Row] | None) -> Observations:
    own = [row for row in rows or () if row.dataset == name]
    if own:
        return observe(own, name)
    if name not in BUILT_IN:
        known = ", ".join(BUILT_IN)
        raise InputError("`like`", f"no students of {name!r}", f"use {known}, or give `results`")
    return observe(paper_rows(name))


def _siblings(own: Observations, rows: Sequence[Row]) -> list[Observations]:
    """Runs of other data sets, which tell how far runs of the same schedule scatter."""
    names = sorted({row.dataset for row in rows} - {own.dataset})
    return [observe([row for row in rows if row.dataset == name]) for name in names]


def _tested(observed: Sequence[Observations]) -> tuple[int, ...]:
    masks = np.unique(np.concatenate([one.tuned_masks for one in observed]))
    return tuple(masks.astype(int).tolist())


def _scatter(rows: Observations, others: Sequence[Observations], surface: Surface) -> str:
    sd = f"{float(surface.run_draws.std()) * surface.scale:.2g} AP"
    if rows.repeats:
        return f"runs of a cell scatter by {sd}, from {rows.repeats} repeats"
    kin = sum(one.repeats for one in others if one.schedule == rows.schedule)
    if kin:
        return f"one run a cell, taken to scatter by {sd} from {kin} repeats on other data sets"
    return f"one run a cell, taken to scatter by {sd} without a repeat to show it"


def statistics_from_rows(
    rows: Sequence[Row], dataset: str | None, times: LabellingTimes
) -> DatasetStats:
    """Statistics of a data set that is not built in, solved from what its rows cost.

    Seconds per image are linear in K, c and n, so three kinds of policies give them back, provided
    that the rows were priced with these times.

    Raises:
        InputError: if the rows do not determine them.
    """
    own = list(_own_rows(dataset, rows))
    if own[0].dataset in BUILT_IN and own[0].variant == PAPER_VARIANT:
        return BUILT_IN[own[0].dataset]
    shares = np.array([[row.policy[annotation] for annotation in ORDER] for row in own])
    seconds = np.array([row.seconds_per_image for row in own])
    design = shares @ np.einsum("tkx,k->tx", COUNTS, times.constants())
    solution, _, rank, _ = np.linalg.lstsq(design, seconds, rcond=None)
    classes, present, instances = solution
    if rank < 3 or np.abs(design @ solution - seconds).max() > 1e-6 * max(seconds.max(), 1.0):
        problem = f"K, c and n of {own[0].dataset} do not follow from the rows' seconds"
        raise InputError("`results`", problem, "give `annotations`, a COCO-format file")
    return DatasetStats.of(
        f"rows of {own[0].dataset}",
        name=own[0].dataset,
        images=max(row.images for row in own),
        classes=max(round(classes), 1),
        classes_per_image=min(max(present, 0.0), round(classes)),
        instances_per_image=max(instances, present, 0.0),
        source="solved from the seconds per image of the results' rows",
        fitted=True,
    )


def untested(evidence: Evidence, types: Sequence[AnnotationType], masks: int) -> list[str]:
    """What of an allocation lies outside the students that the evidence has."""
    notes = []
    if evidence.tested and masks > evidence.tested[-1]:
        notes.append(
            f"Extrapolated: students were measured with up to {evidence.tested[-1]:,} masks "
            "(and with all), not with so many."
        )
    if evidence.tested and 0 < masks < evidence.tested[0]:
        notes.append(
            f"Never tried: {masks:,} masks are under {evidence.tested[0]:,}, the fewest that a "
            "teacher was tuned on. So few may also harm; the forecast prices that."
        )
    if len(types) > 1:
        mixed = " and ".join(map(str, types))
        notes.append(f"Mixing {mixed} is untested: their worths are assumed to add up.")
    return notes
