"""The smoothed surface: its laws, its exactness, its predictions; transfer and pilots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.annotation import WEAK_TYPES, AnnotationType, Policy
from omnicost.errors import InputError
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.surface import HARM_SD, Surface, fit_surface, harm
from omnicost.forecast.transfer import pilot_surface, transfer
from omnicost.results import paper_rows

NAMES = ("coco", "ade20k", "cityscapes")


def paper(name: str) -> Observations:
    return observe(paper_rows(name))


def fitted(name: str, draws: int = 50, largest: int = 0) -> Surface:
    others = [paper(other) for other in NAMES if other != name]
    rng = np.random.default_rng(0)
    return fit_surface(paper(name), learn_shape(others), rng, draws, largest)


@st.composite
def grids(draw: st.DrawFn) -> Observations:
    """Measured cells of any APs: no order, no smoothness."""
    images = draw(st.integers(20, 50_000))
    kinds = draw(st.lists(st.sampled_from(range(len(WEAK_TYPES))), min_size=1, unique=True))
    shares = [0.0, *sorted(draw(st.sets(st.sampled_from([0.01, 0.05, 0.1, 0.3]), max_size=3)))]
    cells = [(kind, share) for kind in kinds for share in shares] + [(-1, 1.0)]
    ap = draw(st.lists(st.floats(0.1, 60), min_size=len(cells), max_size=len(cells)))
    share = np.array([cell[1] for cell in cells])
    weak = np.array([cell[0] for cell in cells])
    seed = np.zeros(len(cells), int)
    return Observations("any", "", images, weak, share * images, share, np.array(ap), seed)


@settings(max_examples=30, deadline=None)
@given(grids())
def test_worth_stays_between_nothing_and_a_mask(rows: Observations) -> None:
    """In the mean and in every draw, whatever was measured; all numbers are finite."""
    surface = fit_surface(rows, learn_shape([]), np.random.default_rng(0), draws=8)
    for worth in (surface.worth[None], surface.worth_draws):
        assert (worth >= -1e-9).all()
        assert (worth <= 1 + 1e-9).all()
    assert np.isfinite(surface.run_draws).all()
    assert np.isfinite(surface.misfit_draws).all()


@pytest.mark.parametrize("name", NAMES)
def test_ap_rises_with_tested_masks_and_ends_at_full(name: str) -> None:
    """From the fewest tested masks on, AP over full never falls in the paper's data."""
    surface, images = fitted(name, 400), paper(name).images
    masks = np.linspace(paper(name).tuned_masks.min(), images, 400)
    share = masks / images
    ap = share + (1 - share) * surface.at(masks)
    assert (np.diff(ap, axis=1) > -1e-4).all()
    assert ap[:, -1] == pytest.approx(1)


def test_untried_masks_carry_a_risk() -> None:
    """One mask is expected to be worth less than none, and less surely; tested ones are not."""
    surface = fitted("coco", 1000)
    for index in range(len(surface.types)):
        none, one, tested = surface.worth[index][np.searchsorted(surface.knots, [0, 1, 1183])]
        assert one < none < tested
    spread = surface.worth_draws.std(axis=0)
    assert (spread[:, 1] > 2 * spread[:, 0]).all()


def test_harm_ends_where_teachers_were_tried() -> None:
    """Nothing without masks, most at one, falling, and nothing from the fewest tested on."""
    masks = np.array([0.0, 1, 10, 100, 300, 1000])
    lost = harm(masks, 300, np.random.default_rng(0), 2000).mean(axis=0)
    assert lost[[0, 4, 5]].tolist() == [0, 0, 0]
    assert lost[1] == pytest.approx(HARM_SD * np.sqrt(2 / np.pi), rel=0.05)
    assert lost[1] > lost[2] > lost[3] > 0


def test_no_order_between_types_is_imposed() -> None:
    """Cityscapes' class beats its point without masks, as it was measured."""
    surface = fitted("cityscapes", 300)
    position = surface.types.index
    without = surface.at(0.0)
    assert without[position(AnnotationType.CLASS)] > without[position(AnnotationType.POINT)]
    with_masks = surface.at(300.0)
    assert with_masks[position(AnnotationType.CLASS)] < with_masks[position(AnnotationType.POINT)]


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_stays_within_noise(name: str) -> None:
    """The surface passes its own rows within a few of their standard deviations."""
    rows, surface = paper(name), fitted(name, draws=500)
    for kind, masks, share, ap in zip(rows.weak, rows.masks, rows.share, rows.ap, strict=True):
        worth = 1.0 if kind < 0 else surface.at(masks)[surface.types.index(WEAK_TYPES[kind])]
        assert surface.scale * (share + (1 - share) * worth) == pytest.approx(ap, abs=1.5)


def test_restricting_keeps_each_type_its_own() -> None:
    """Curves and misfits of a type are the same with and without the others."""
    surface = fitted("coco")
    box = surface.restricted([AnnotationType.BOX])
    index = surface.types.index(AnnotationType.BOX)
    assert (box.worth[0] == surface.worth[index]).all()
    assert (box.misfit_draws[:, 0] == surface.misfit_draws[:, index]).all()


def test_only_two_mask_shares_are_enough() -> None:
    """A sweep of 0%, 10% and 100% cells alone gives a surface."""
    rows = [row for row in paper_rows("coco") if row.mask_share in (0, 0.1, 1)]
    surface = fit_surface(observe(rows), learn_shape([]), np.random.default_rng(0), 200)
    assert len(surface.types) == len(observe(rows).types)
    box = surface.at(11829)[surface.types.index(AnnotationType.BOX)]
    assert 0.9 < 0.1 + 0.9 * box < 1


def test_mixed_variants_and_data_sets_are_refused() -> None:
    """A surface is of one variant and one data set."""
    rows = paper_rows("coco")
    other = rows[0].model_copy(update={"variant": "another"})
    with pytest.raises(InputError, match="variants"):
        observe([*rows, other])
    with pytest.raises(InputError, match="choose one"):
        observe([*rows, *paper_rows("ade20k")])
    with pytest.raises(InputError, match="100%"):
        fit_surface(observe(rows[:4]), learn_shape([]), np.random.default_rng(0), 5)
    mixture = rows[0].model_copy(update={"policy": Policy.of({"none": 0.5, "box": 0.5})})
    with pytest.raises(InputError, match="one weak type"):
        observe([mixture])


def test_transfer_is_the_predictive_t() -> None:
    """With references free of noise, a worth's interval is the textbook one for a new member."""
    from scipy.special import expit, logit, stdtrit

    levels = np.array([0.6, 0.7, 0.9])
    flat = [
        Surface((AnnotationType.BOX,), np.array([0.0, 1000]), np.full((1, 2), x),
                np.full((4, 1, 2), x), 40.0, np.full(4, 40.0), 40.0, np.zeros(4), np.zeros((4, 1)))
        for x in levels
    ]  # fmt: skip
    surface = transfer(flat, 1000, np.random.default_rng(1), 20_000)
    z = logit(levels)
    half = stdtrit(2, 0.9) * z.std(ddof=1) * np.sqrt(1 + 1 / 3)
    expected = expit(z.mean() + np.array([-half, half]))
    drawn = np.quantile(surface.worth_draws[:, 0, 0], [0.1, 0.9])
    assert drawn == pytest.approx(expected, abs=0.015)
    assert surface.worth[0, 0] == pytest.approx(expit(z.mean()))


def test_one_reference_is_too_few() -> None:
    """Spread between projects cannot be read from one."""
    with pytest.raises(InputError, match="two or more"):
        transfer([fitted("coco")], 1000, np.random.default_rng(0), 10)


def test_a_pilot_moves_the_surface_to_what_it_measured() -> None:
    """Students of the project pull the prediction to them and narrow it."""
    references = [fitted("ade20k"), fitted("cityscapes")]
    rows = paper("coco")
    pilot = rows.where(np.array([0, 3, 12]))
    rng = np.random.default_rng(0)
    blind = transfer(references, rows.images, rng, 500)
    informed = pilot_surface(pilot, references, rows.images, rng, 500)
    none = informed.types.index(AnnotationType.NONE)
    recorded = 35.1 / 43.5
    assert abs(blind.at(0.0)[none] - recorded) > 0.2
    assert informed.at(0.0)[none] == pytest.approx(recorded, abs=0.03)
    assert informed.scale == pytest.approx(43.5, abs=1.0)
    assert informed.worth_draws[:, none, 0].std() < 0.2 * blind.worth_draws[:, none, 0].std()


def test_intervals_hold_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """On left-out cells of Table 2 and rows of other methods, within binomial reach of nominal."""
    from analysis.planner import leave_one_cell_out as analysis

    monkeypatch.setattr(analysis, "DRAWS", 800)
    table2, series = analysis.summary(analysis.table2()), analysis.summary(analysis.series())
    assert table2["cells"] == 39
    assert table2["mean_absolute_error"]["predicted"] <= 0.80
    for totals in (table2, series):
        error = totals["mean_absolute_error"]
        assert error["predicted"] < min(error["nearest"], error["line"])
        for level, one in totals["levels"].items():
            low, high = one["binomial_interval_95"]
            assert low <= float(level.rstrip("%")) / 100 <= high


def test_like_beats_plain_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving a data set out, --like errs less on average than the references' mean ratio."""
    from analysis.planner import leave_one_dataset_out as analysis

    monkeypatch.setattr(analysis, "DRAWS", 200)
    monkeypatch.setattr(analysis, "PILOTS", {"p": analysis.PILOTS["none 0%, box 0%"]})
    scores = analysis.run()
    assert scores["--like"]["mean_error"] < scores["plain ratios"]["mean_error"]
    assert scores["pilot: p"]["mean_error"] < 0.7 * scores["--like"]["mean_error"]
    assert scores["--like"]["covered"] >= 24
