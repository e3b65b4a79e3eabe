"""Which stages of a card share a pass, and what a dry run says of their prices."""

from __future__ import annotations

import pytest
from planned import counts, plan

from omnicost.engine.passes import passes_of
from omnicost.sweep.cards.card import Hardware
from omnicost.sweep.cards.read_card import (
    load_card,
)
from omnicost.sweep.estimate import disk_mb, estimate


def test_dry_run_says_what_its_students_assume(without_data: None) -> None:
    """Full-size students are priced with a compiled kernel that we lack; tiny ones were timed."""
    for name, said in (("coco", 1), ("demo", 0)):
        card = load_card(name)
        figures = estimate(plan(name), None, card.hardware)
        assert len(figures.assumptions) == said
        assert not said or "30-50% more: students then take 51 to 59 days" in figures.assumptions[0]


def test_dry_run_prices_the_papers_grid(without_data: None) -> None:
    """Thirteen COCO students are about 7,500 of the hours; sharing saves most of the rest."""
    card = load_card("coco")
    figures = estimate(plan("coco"), None, card.hardware)
    assert figures.cells == 13
    assert figures.hours["students"].shared == pytest.approx(7500, rel=0.02)
    assert figures.hours["teachers"].naive > 5 * figures.hours["teachers"].shared
    assert figures.total.left == figures.total.shared
    assert figures.days(figures.total.shared) == pytest.approx(39.6, abs=1)
    assert figures.disk_gb > 200  # the embeddings


def test_pseudo_masks_share_passes_where_the_cache_is_too_small(
    without_data: None,
) -> None:
    """One pass for released teachers, one for each share of tuned ones; keys stay as they are."""
    roomy, tight = plan("coco", _limit(300)), plan("coco", _limit(100))
    assert passes_of(roomy.stages.values()) == ()
    assert [len(each) for each in passes_of(tight.stages.values())] == [4, 4, 4]
    assert set(roomy.stages) == set(tight.stages)
    for each in passes_of(tight.stages.values()):
        teachers = {tight.stages[k] for s in each for r, k in s.inputs.items() if "teacher" in r}
        assert len({t.params.tuning and t.params.tuning.mask_share for t in teachers}) == 1
    assert len(passes_of(plan("coco", _limit(0)).stages.values())) == 3


def _limit(gigabytes: float) -> str:
    return f"recipe.embed.limit_gigabytes={gigabytes}"


@pytest.mark.parametrize(
    ("settings", "share", "passes"),
    [
        (("passes=never", _limit(1)), True, 0),
        (("passes=always", _limit(300)), True, 3),
        ((_limit(1),), False, 0),
    ],
)
def test_passes_can_be_set(
    settings: tuple[str, ...],
    share: bool,
    passes: int,
    without_data: None,
) -> None:
    """The card may want them always or never; --no-share keeps everything apart."""
    graph = plan("coco", *settings, share=share)
    assert len(passes_of(graph.stages.values())) == passes


def test_other_models_and_seeds_share_no_pass(without_data: None) -> None:
    """Released teachers of all seeds are ready at once; tuned ones wait for their own seed."""
    graph = plan("coco", _limit(1), seeds="2")
    sizes = sorted(len(each) for each in passes_of(graph.stages.values()))
    # Perfect labels with released weights: only points differ by seed.
    assert sizes == [4, 4, 4, 4, 5]
    assert sum(sizes) == counts(graph)["pseudomask"]


def test_estimate_prices_the_encoding_of_a_pass_once(without_data: None) -> None:
    """What does not fit is encoded once a pass; without passes, once for every stage."""
    apart = estimate(plan("coco", _limit(0), "passes=never"), None, Hardware())
    passed = estimate(plan("coco", _limit(0)), None, Hardware())
    cached = estimate(plan("coco", _limit(300)), None, Hardware())
    encode_hours = 118_287 * 0.15 / 3600
    hours = [each.hours["pseudo-masks"].shared for each in (apart, passed, cached)]
    images = 4 * (1 + 0.99 + 0.9)
    assert hours[0] - hours[2] == pytest.approx(encode_hours * images, rel=0.01)
    assert hours[1] - hours[2] == pytest.approx(encode_hours * images / 4, rel=0.01)


def test_teachers_without_a_cache_encode_every_lesson(without_data: None) -> None:
    """They are priced by it: at the paper's steps that is seven times as much."""
    uncached, cached = (
        estimate(plan("coco", _limit(gigabytes)), None, Hardware()) for gigabytes in (0, 300)
    )
    graph = plan("coco", _limit(0))
    lessons = sum(s.units or 0 for s in graph.stages.values() if s.name == "teacher")
    hours = [each.hours["teachers"].shared for each in (uncached, cached)]
    assert hours[0] - hours[1] == pytest.approx(lessons * 0.15 / 3600, rel=0.01)
    assert hours[0] > 5 * hours[1]


def test_figures_of_a_dry_run_are_the_same_every_time(without_data: None) -> None:
    """Disk is added up in the order of the stages, not of a set, which differs by process."""
    graph = plan("tiny-coco")
    figures = estimate(graph, None, Hardware())
    assert figures.disk_gb == sum(map(disk_mb, graph.stages.values())) / 1e3
