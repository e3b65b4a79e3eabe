"""Claims of the paper against rows: contrasts, their intervals, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import claims, f1_law, variants
from analysis.claims import (
    CLAIMS,
    Found,
    Measured,
    contrast,
    of_paper,
    pooled_spread,
    scatter_of,
)
from analysis.recorded import (
    FULL,
    Cell,
)
from omnicost.annotation import Policy
from omnicost.results import Row


@given(
    values=st.lists(st.lists(st.floats(-50, 50), min_size=2, max_size=5), min_size=2, max_size=5),
    shift=st.floats(-20, 20),
)
@settings(max_examples=60, deadline=None)
def test_a_contrast_of_differences_knows_no_level(values: list[list[float]], shift: float) -> None:
    """What all cells have in common leaves a contrast whose weights add to nothing as it is."""
    cells = [Cell.of(dict(enumerate(own))) for own in values]
    moved = [Cell.of({k: v + shift for k, v in enumerate(own)}) for own in values]
    one = contrast([(1.0, cells[0]), (-1.0, cells[1])], cells)
    other = contrast([(1.0, moved[0]), (-1.0, moved[1])], moved)
    assert one
    assert other
    for before, after in zip(one, other, strict=True):
        assert after == pytest.approx(before, abs=1e-6)
    assert one.low is None or one.low <= one.estimate <= one.high  # type: ignore[operator]


def test_the_pooled_spread_is_the_root_of_the_mean_variance() -> None:
    """With equally many seeds a cell; cells of one seed have no say."""
    cells = [Cell((1.0, 3.0), (0, 1)), Cell((0.0, 4.0), (0, 1)), Cell((9.0,))]
    freedom, spread = pooled_spread(cells)
    assert freedom == 2
    assert spread == pytest.approx(np.sqrt((2 + 8) / 2))


@pytest.mark.parametrize("weights", [(1.0, -1.0), (1.0, -0.73)])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_intervals_hold_what_they_say(weights: tuple[float, float], shared: float) -> None:
    """Of many contrasts between equal cells about 95 in 100 intervals hold nothing, also where runs
    of a seed go together."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        runs = draw.standard_normal((13, 3)) + shared * draw.standard_normal(3)
        cells = [Cell.of(dict(enumerate(own))) for own in runs]
        found = contrast([*zip(weights, cells[:2], strict=True)], cells)
        assert found is not None
        held += found.verdict == "undecided"
    assert 0.92 < held / 400 < 0.98


def test_what_a_seed_shares_is_no_scatter_of_a_difference() -> None:
    """It is told apart, and weighs on levels alone; the best of many has a wider interval."""
    rest = np.random.default_rng(0).standard_normal((13, 3))
    cells, moved = (
        [Cell.of(dict(enumerate(own))) for own in rest + shared]
        for shared in (np.zeros(3), np.array([-5.0, 0.0, 5.0]))
    )
    assert scatter_of(moved).own == pytest.approx(scatter_of(cells).own)
    assert scatter_of(moved).shared == pytest.approx(5, abs=1)
    assert scatter_of(moved).freedom == 24
    difference, level = [(1.0, moved[0]), (-1.0, moved[1])], [(1.0, moved[0])]
    widths = [
        found.high - found.low  # type: ignore[operator, union-attr]
        for found in (
            contrast([(1.0, cells[0]), (-1.0, cells[1])], cells),
            contrast(difference, moved),
            contrast(difference, moved, among=9),
            contrast(level, moved),
        )
    ]
    assert widths[0] == pytest.approx(widths[1])
    assert widths[1] < widths[2] < widths[3]


def test_verdicts() -> None:
    """All above holds, all below fails, both sides is undecided; without a spread only a sign."""
    assert [Found(1, low, high).verdict for low, high in ((0.5, 2), (-2, -1), (-1, 3))] == [
        "holds",
        "fails",
        "undecided",
    ]
    assert [Found(value, None, None).verdict for value in (1, -1)] == ["yes", "no"]


def test_the_papers_tables_bear_out_its_claims_on_coco() -> None:
    """Every contrast is above nothing there, as its text has it: their signs are right."""
    data = of_paper("coco")
    for claim in CLAIMS:
        found = claims.tested(claim, data)
        assert found is not None
        assert found.estimate > 0, claim.words


def test_claims_turn_with_the_rows() -> None:
    """With boxes and points exchanged that claim turns round, and the others of the order too."""
    data = of_paper("coco")
    swapped = {
        Policy.of({{"box": "point", "point": "box"}.get(str(kind), str(kind)): share
                   for kind, share in policy.shares}): cell
        for policy, cell in data.grid.items()
    }  # fmt: skip
    turned = Measured(swapped, data.untuned, data.teachers, data.savings)
    claim = next(claim for claim in CLAIMS if claim.words.startswith("boxes beat points"))
    before, after = claims.tested(claim, data), claims.tested(claim, turned)
    assert before
    assert after
    assert after.estimate == pytest.approx(-before.estimate)


@given(power=st.floats(0.2, 2.0))
@settings(max_examples=30, deadline=None)
def test_the_law_finds_its_exponent(power: float) -> None:
    """Shares that are a power of F1 give that power, and no error."""
    known = [f1_law.Sample(FULL, f1, f1**power) for f1 in (0.3, 0.5, 0.7, 0.9)]
    assert f1_law.exponent(known) == pytest.approx(power, abs=1e-3)
    assert f1_law.error(known, known) == pytest.approx(0, abs=1e-3)


def test_variants_are_compared_seed_by_seed() -> None:
    """A change that gains 1 AP on every seed holds however much seeds differ; without two pairs
    there is no interval."""
    rows = [
        Row(
            dataset="tiny-coco", policy=Policy.cell(kind, 0.1), variant=variant, seed=seed,
            ap=20 + 5 * seed + (1 + 0.01 * seed) * (variant == "value"), images=800, masks=80,
            hours=1.0, seconds_per_image=1.0,
        )
        for kind in ("box", "point") for variant in ("random", "value") for seed in range(5)
    ]  # fmt: skip
    found = variants.gain([each.ap for each in variants.pairs(rows, "random", "value")])
    assert found is not None
    assert found.verdict == "holds"
    assert found.estimate == pytest.approx(1.02)
    told = variants.table(rows, "random")
    assert told["policy"].tolist() == ["mask=0.1,box=0.9", "mask=0.1,point=0.9", "all"]
    assert "**holds** [5]" in told["value"].tolist()[-1]
    alone = variants.gain([1.0])
    assert alone is not None
    assert alone.low is None
    assert variants.gain([]) is None
