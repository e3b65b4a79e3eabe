"""Which rows a forecast may rest on, and how runs of one cell are taken together."""

import numpy as np
import pytest

from omnicost.errors import InputError
from omnicost.forecast.observations import observe
from omnicost.results import SMOKE, Row, paper_rows


def changed(**fields: object) -> list[Row]:
    return [row.model_copy(update=fields) for row in paper_rows("coco")]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (changed(schedule=SMOKE), "smoke run"),
        (changed(truncated=True), "stopped early"),
        (changed(ap=0.0), "AP is 0"),
    ],
)
def test_rows_that_measure_nothing_are_refused(rows: list[Row], reason: str) -> None:
    """Smoke runs, truncated students and AP 0 everywhere, each with its reason."""
    with pytest.raises(InputError, match=reason):
        observe(rows)


def test_one_smoke_row_among_others_is_refused() -> None:
    """It would be taken for a measurement."""
    rows = paper_rows("coco")
    smoke = rows[0].model_copy(update={"schedule": SMOKE})
    with pytest.raises(InputError, match="smoke"):
        observe([*rows, smoke])


def test_runs_of_one_cell_are_its_mean() -> None:
    """Three seeds of a cell are one cell; their shared seeds say how cells move together."""
    swept = {"config_hash": "a"}  # a sweep's, whose seeds are known
    *rows, third = (row.model_copy(update=swept) for row in paper_rows("coco")[:3])
    seeds = [
        row.model_copy(update={"seed": seed, "ap": row.ap + seed})
        for row in rows
        for seed in (0, 1, 2)
    ]
    observed = observe([*seeds, third])
    cells = observed.cells
    assert observed.repeats == 4
    assert sorted(cells.runs.tolist()) == [1, 3, 3]
    assert sorted(cells.ap.tolist()) == pytest.approx(
        sorted([rows[0].ap + 1, rows[1].ap + 1, 39.9])
    )
    # Cells with the same three seeds share all of a seed's effect: a third of its variance.
    three = np.flatnonzero(cells.runs == 3)
    assert cells.shared_seeds[np.ix_(three, three)] == pytest.approx(1 / 3)


def test_published_figures_name_no_seed() -> None:
    """Each counts as a run of its own seed; rows of a sweep have the seeds that they name."""
    assert len(set(observe(paper_rows("coco")).seed.tolist())) == 13
    swept = [row.model_copy(update={"config_hash": "a", "seed": 3}) for row in paper_rows("coco")]
    assert set(observe(swept).seed.tolist()) == {3}


def test_some_runs() -> None:
    """Runs are picked by a mask or by indices, and everything of a run goes with it."""
    observed = observe(paper_rows("ade20k"))
    full = observed.where(observed.is_full)
    assert full.ap.tolist() == [26.7]
    assert observed.where(np.array([0, 12])).share.tolist() == [0, 1]
    assert observed.tuned_masks.tolist() == [202, 2021]
