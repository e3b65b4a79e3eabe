"""The smoothed surface: its laws, its exactness, its predictions; transfer and pilots."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.annotation import WEAK_TYPES, AnnotationType, Policy
from omnicost.errors import InputError
from omnicost.plan.observations import PRIOR_NOISE_SD, Observations, observe
from omnicost.plan.prior import learn_shape
from omnicost.plan.surface import Surface, axis, fit_surface
from omnicost.plan.transfer import pilot_surface, transfer
from omnicost.results import paper_rows

ANALYSIS = Path(__file__).parent.parent / "analysis"
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
    kinds = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
    shares = [0.0, *sorted(draw(st.sets(st.sampled_from([0.01, 0.05, 0.1, 0.3]), max_size=3)))]
    cells = [(kind, share) for kind in kinds for share in shares] + [(-1, 1.0)]
    ap = draw(st.lists(st.floats(0, 60), min_size=len(cells), max_size=len(cells)))
    share = np.array([cell[1] for cell in cells])
    return Observations(
        "any",
        images,
        np.array([cell[0] for cell in cells]),
        share * images,
        share,
        np.array(ap),
        PRIOR_NOISE_SD,
    )


@settings(max_examples=30, deadline=None)
@given(grids())
def test_every_draw_obeys_the_law(rows: Observations) -> None:
    """Worth rises, is at most a mask's, and is concave on the axis, whatever was measured."""
    surface = fit_surface(rows, learn_shape([]), np.random.default_rng(0), draws=8)
    for worth in (surface.worth[None], surface.worth_draws):
        assert (worth <= 1 + 1e-9).all()
        steps = np.diff(worth, axis=-1)
        assert (steps >= -1e-7).all()
    inner = surface.worth_draws[(surface.full_draws > 1) & (surface.worth_draws.min((1, 2)) > 0)]
    slopes = np.diff(inner, axis=-1) / np.diff(axis(surface.knots))
    assert (np.diff(slopes, axis=-1) <= 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_ap_is_concave_in_the_mask_share_and_ends_at_full(name: str) -> None:
    """AP over full never falls with masks, bends down, and is 1 with masks on every image."""
    surface, images = fitted(name), paper(name).images
    masks = np.linspace(0, images, 400)
    share = masks / images
    ap = share + (1 - share) * surface.at(masks)
    assert (np.diff(ap, axis=1) > -1e-12).all()
    assert (np.diff(ap, 2, axis=1) < 1e-9).all()
    assert ap[:, -1] == pytest.approx(1)


def test_no_order_between_types_is_imposed() -> None:
    """Cityscapes' class beats its point without masks, as it was measured."""
    surface = fitted("cityscapes")
    position = surface.types.index
    without = surface.at(0.0)
    assert without[position(AnnotationType.CLASS)] > without[position(AnnotationType.POINT)]
    with_masks = surface.at(300.0)
    assert with_masks[position(AnnotationType.CLASS)] < with_masks[position(AnnotationType.POINT)]


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_stays_within_noise(name: str) -> None:
    """The surface passes its own rows within a few of their standard deviations."""
    rows, surface = paper(name), fitted(name, draws=300)
    for kind, masks, share, ap in zip(rows.kind, rows.masks, rows.share, rows.ap, strict=True):
        worth = 1.0 if kind < 0 else surface.at(masks)[surface.types.index(WEAK_TYPES[kind])]
        assert surface.scale * (share + (1 - share) * worth) == pytest.approx(ap, abs=1.2)


def test_smooth_data_come_back() -> None:
    """Rows made from a law of this form, without noise, are returned almost as they are."""
    truth = 40 * (0.95 - 0.35 * np.exp(-axis(np.array([0.0, 200, 2000])) / 2))
    share = np.array([0, 0.01, 0.1])
    ap = np.append(40 * share + (1 - share) * truth, 40.0)
    rows = Observations("made", 20_000, np.array([2, 2, 2, -1]), np.array([0, 200, 2000, 20_000]),
                        np.append(share, 1.0), ap, 0.01)  # fmt: skip
    surface = fit_surface(rows, learn_shape([]), np.random.default_rng(0), 50)
    measured = surface.scale * surface.at(rows.masks[:3])[0]
    assert measured == pytest.approx(truth, abs=0.1)


def test_repeats_set_the_noise() -> None:
    """Seeds of one cell that scatter more than assumed widen the noise, and few count little."""
    row = paper_rows("coco")[0]
    quiet = observe(paper_rows("coco"))
    assert (quiet.noise_sd, quiet.repeats) == (PRIOR_NOISE_SD, 0)
    seeds = [row.model_copy(update={"seed": s, "ap": row.ap + 3 * (-1) ** s}) for s in range(20)]
    loud = observe([*paper_rows("coco")[1:], *seeds])
    assert loud.repeats == 19
    assert 2.5 < loud.noise_sd < 3.1


def test_only_two_mask_shares_are_enough() -> None:
    """A sweep of 0%, 10% and 100% cells alone gives a surface."""
    rows = [row for row in paper_rows("coco") if row.mask_share in (0, 0.1, 1)]
    surface = fit_surface(observe(rows), learn_shape([]), np.random.default_rng(0), 20)
    assert len(surface.types) == 4
    assert 0.9 < surface.share_of_full(AnnotationType.BOX, 11829, 118287) < 1


def test_mixed_recipes_and_data_sets_are_refused() -> None:
    """A surface is of one recipe and one data set."""
    rows = paper_rows("coco")
    other = rows[0].model_copy(update={"recipe": "another"})
    with pytest.raises(InputError, match="recipes"):
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
                np.full((4, 1, 2), x), 40.0, np.full(4, 40.0), 40.0, 0.01, np.array([100.0]))
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
    kept = np.array([0, 3, 12])
    pilot = replace(rows, kind=rows.kind[kept], masks=rows.masks[kept], share=rows.share[kept],
                    ap=rows.ap[kept])  # fmt: skip
    rng = np.random.default_rng(0)
    blind = transfer(references, rows.images, rng, 500)
    informed = pilot_surface(pilot, references, rows.images, rng, 500)
    none = informed.types.index(AnnotationType.NONE)
    recorded = 35.1 / 43.5
    assert abs(blind.at(0.0)[none] - recorded) > 0.2
    assert informed.at(0.0)[none] == pytest.approx(recorded, abs=0.03)
    assert informed.scale == pytest.approx(43.5, abs=1.0)
    assert informed.worth_draws[:, none, 0].std() < 0.2 * blind.worth_draws[:, none, 0].std()


def test_leave_one_cell_out_beats_both_rulers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The surface predicts cells it has not seen better than its neighbours do."""
    monkeypatch.syspath_prepend(str(ANALYSIS))
    import leave_one_cell_out as analysis

    monkeypatch.setattr(analysis, "DRAWS", 60)
    totals = analysis.summary(analysis.run())
    assert totals["cells"] == 39
    error = totals["mean_absolute_error"]
    assert error["predicted"] < 0.9 < min(error["nearest"], error["literal"])
    assert 27 <= totals["covered"] <= 38
    sys.modules.pop("leave_one_cell_out")


def test_like_beats_plain_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving a data set out, --like errs less on average than the references' mean ratio."""
    monkeypatch.syspath_prepend(str(ANALYSIS))
    import leave_one_dataset_out as analysis

    monkeypatch.setattr(analysis, "DRAWS", 200)
    monkeypatch.setattr(analysis, "PILOTS", {"p": analysis.PILOTS["none 0%, box 0%"]})
    scores = analysis.run()
    assert scores["--like"]["mean_error"] < scores["plain ratios"]["mean_error"]
    assert scores["pilot: p"]["mean_error"] < 0.7 * scores["--like"]["mean_error"]
    assert scores["--like"]["covered"] >= 24
    sys.modules.pop("leave_one_dataset_out")
