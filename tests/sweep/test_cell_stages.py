"""The shipped cards and what their cells need: sharing, keys, headers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from teacher_world import write_dataset

from omnicost.engine.graph import Graph, build_graph, by_role
from omnicost.engine.passes import passes_of
from omnicost.errors import ConfigError, MissingError
from omnicost.pipeline import portions
from omnicost.pipeline.portions import Portion
from omnicost.resources import shipped
from omnicost.sweep import sources as sources_module
from omnicost.sweep.cards.card import Hardware, recipe_of
from omnicost.sweep.cards.read_card import (
    HEADINGS,
    Changes,
    find_card,
    header,
    load_card,
    shipped_cards,
)
from omnicost.sweep.estimate import disk_mb, estimate
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import planner
from omnicost.sweep.stages.stage_params import PseudomaskParams, StudentParams, TeacherParams

CARDS = [path.stem for path in shipped_cards()]
TINY = [f"tiny-{name}" for name in ("coco", "ade20k", "cityscapes")]


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is at hand, so that planning takes no time."""

    def nothing(name_or_path: str, **_: Any) -> None:
        raise MissingError(name_or_path, "not here", "get it")

    monkeypatch.setattr(sources_module, "open_dataset", nothing)


def plan(card: str | Path, *settings: str, seeds: str | None = None, share: bool = True) -> Graph:
    loaded = load_card(card, Changes(settings=settings, seeds=seeds))
    return build_graph(loaded.cells(), planner(loaded, Sources(Path("cache"))), share=share)


def counts(graph: Graph) -> Counter[str]:
    return Counter(stage.name for stage in graph.stages.values())


def keys(graph: Graph, name: str | None = None) -> set[str]:
    return {key for key, stage in graph.stages.items() if name in (None, stage.name)}


@pytest.mark.parametrize("name", CARDS)
def test_shipped_card_is_whole(name: str, without_data: None) -> None:
    """Every card opens with claim, expectation, duration and command, and plans its cells."""
    told = header(find_card(name))
    assert set(told) == set(HEADINGS)
    assert told["Run"].startswith(f"omnicost sweep {name}")
    assert load_card(name).name == name
    graph = plan(name)
    assert graph.plans
    assert len(graph.stages) < graph.naive_count or name == "table3"


@pytest.mark.parametrize("name", CARDS)
def test_smoke_run_of_a_card_is_smaller(name: str, without_data: None) -> None:
    """--smoke leaves fewer or as many cells, and far shorter schedules."""
    small = load_card(name, Changes(smoke=True))
    assert (small.name, small.schedule) == (f"{name}-smoke", "smoke")
    cells = list(small.cells())
    assert len(cells) <= len(list(load_card(name).cells()))
    assert recipe_of(cells[0]).student.schedule.steps <= 10


def test_tiny_cards_hold_39_cells(without_data: None) -> None:
    """Table 2 on the tiny world: 3 x 13 cells, three seeds of each."""
    assert [len(plan(name, seeds="1").plans) for name in TINY] == [13, 13, 13]
    assert [len(plan(name).plans) for name in TINY] == [39, 39, 39]


def test_demo_shares_its_stages(without_data: None) -> None:
    """Nine students a seed: one pass of encoder, two of detector, four tuned teachers."""
    assert len(plan("demo").plans) == 18
    graph = plan("demo", seeds="1")
    assert len(graph.plans) == 9
    assert counts(graph) == {
        "embed": 1,
        "detect": 2,  # all classes for none, the image's for class and point
        "teacher": 4 + 4,  # box/class, point/class, point_box/class, box/plain; tuned or released
        "pseudomask": 8,
        "quality": 8,
        "student": 9,
        "evaluate": 9,
    }


def test_large_sets_are_embedded_and_detected_in_portions(
    without_data: None,
) -> None:
    """COCO in eight, whatever the devices; each image in one; pseudo-masks read them all."""
    graph = plan("coco")
    assert counts(graph)["embed"] == 8
    assert counts(graph)["detect"] == 2 * 8
    embeds = [stage for stage in graph.stages.values() if stage.name == "embed"]
    assert sum(stage.units or 0 for stage in embeds) == 118_287
    assert max(stage.units or 0 for stage in embeds) <= portions.MOST_IMAGES
    for stage in graph.stages.values():
        if isinstance(stage.params, PseudomaskParams):
            assert len(by_role(stage.inputs, "embed.")) == 8
            assert len(by_role(stage.inputs, "detections.")) in (0, 8)  # boxes ask no detector
    assert keys(plan("coco", "resources.default.gpus=0"), "embed") == keys(graph, "embed")


def test_teachers_wait_for_the_portions_with_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the images lies in the first of four portions for seed 0, anywhere for seed 1."""
    monkeypatch.setattr(portions, "MOST_IMAGES", 10)
    root = write_dataset(tmp_path / "data", images=40).path(0).parent.parent
    card = tmp_path / "mine.yaml"
    card.write_text(
        f"base: tiny\nname: mine\nseeds: [0, 1]\n"
        f"datasets: [{{name: {root}, train: all, val: all}}]\n"
        "grid: {mask_shares: [0.1], types: [box]}\n"
    )
    loaded = load_card(card)
    graph = build_graph(loaded.cells(), planner(loaded, Sources(tmp_path / "cache")))
    read = {
        stage.params.tuning.seed: [
            graph.stages[key].params.portion for key in stage.inputs.values()
        ]
        for stage in graph.stages.values()
        if isinstance(stage.params, TeacherParams) and stage.params.tuning
    }
    assert read[0] == [Portion(0, 4)]
    assert len(read[1]) > 1


def test_full_and_zero_share_cells_wait_for_no_training(without_data: None) -> None:
    """Cells at 0% need released teachers only, the one at 100% nothing at all."""
    graph = plan("demo")
    by_policy = {str(p.target.policy): p for p in graph.plans}
    assert by_policy["mask=1"].waits_for == frozenset()
    for stage in by_policy["box=1"].stages:
        assert stage.name != "teacher" or stage.params.tuning is None
        assert stage.name != "detect"  # boxes need no detector


def test_cards_share_teachers_and_pseudo_masks(without_data: None) -> None:
    """A short schedule of the students shares everything before them with the full one."""
    full, short = plan("coco"), plan("coco-short")
    for name in ("embed", "detect", "teacher", "pseudomask", "quality"):
        assert keys(full, name) == keys(short, name)
    assert not keys(full, "student") & keys(short, "student")


def test_a_start_takes_the_backbones_place_in_the_key(without_data: None) -> None:
    """With a trained student as the start its weights count and the backbone's do not; no other
    stage changes. Without one (`none`) the key says nothing of it."""
    plain, named = plan("demo", "recipe.models.student=none"), "recipe.models.student=someone/start"
    started, other = plan("demo", named), plan("demo", named, "recipe.models.backbone=else/where")
    told = next(s.params for s in plain.stages.values() if isinstance(s.params, StudentParams))
    assert told.backbone is not None
    assert told.start is None
    assert keys(started, "student") == keys(other, "student")
    assert not keys(started, "student") & keys(plain, "student")
    for name in ("embed", "detect", "teacher", "pseudomask", "quality"):
        assert keys(started, name) == keys(plain, name)


def test_a_trunk_is_one_stage_for_all_students_of_a_seed(without_data: None) -> None:
    """Steps of trunk and branches add up; it is priced once; nothing before students changes."""
    plain = plan("demo", seeds="1")
    trunked = plan("demo", "recipe.student.trunk={cell: none, share: 0.7}", seeds="1")
    assert counts(trunked) == {**counts(plain), "student": 10}
    for name in ("embed", "detect", "teacher", "pseudomask", "quality"):
        assert keys(trunked, name) == keys(plain, name)
    (trunk,) = [s for s in trunked.stages.values() if s.label.startswith("trunk")]
    assert trunk.key not in trunked.trial_keys
    for target in trunked.plans:
        assert trunk.key in target.waits_for
        student = trunked.stages[target.outputs["student"]]
        assert trunk.units + student.units == plain.stages[plain.plans[0].outputs["student"]].units
    hours = [
        estimate(graph, None, Hardware()).hours["students"].shared for graph in (plain, trunked)
    ]
    assert hours[1] == pytest.approx(hours[0] * (0.7 + 9 * 0.3) / 9)


def test_a_recalibrated_trunk_reads_its_calibrations(without_data: None) -> None:
    """Its pseudo-masks weigh as a student's of the same labels do."""
    weight = "recipe.student.pseudo_weight=recalibrated"
    cell = "recipe.student.trunk={cell: 'mask=0.1,box=0.9', share: 0.7}"
    (trunk,) = [
        stage
        for stage in plan("demo", cell, weight, seeds="1").stages.values()
        if stage.label.startswith("trunk")
    ]
    assert {"pseudomask.box", "calibration.box"} <= set(trunk.inputs)


def test_more_seeds_add_and_change_nothing(without_data: None) -> None:
    """Every stage of one seed is among those of three."""
    assert keys(plan("demo")) < keys(plan("demo", seeds="3"))


def test_released_teachers_serve_every_share(without_data: None) -> None:
    """Table 4's teachers and pseudo-masks are made once for the three mask shares."""
    assert counts(plan("table4"))["pseudomask"] == 4
    assert counts(plan("table4"))["student"] == 12


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("recipe.embed.shard_images=8", set()),
        ("recipe.student.log_every=3", set()),
        ("resources.default.threads=2", set()),
        ("recipe.student.schedule.steps=7", {"student", "evaluate"}),
        ("recipe.detect.nms_iou=0.5", {"pseudomask", "quality", "student", "evaluate"}),
        ("recipe.teacher.steps=7", {"teacher", "pseudomask", "quality", "student", "evaluate"}),
        ("recipe.embed.batch_images=1", {"embed", *("teacher", "pseudomask", "quality")}),
    ],
)
def test_settings_change_only_what_reads_them(
    setting: str, changed: set[str], without_data: None
) -> None:
    """A setting changes the keys of the stages that it can change, and of those after them."""
    one, two = plan("demo"), plan("demo", setting)
    differing = {n for n in counts(one) if keys(one, n) != keys(two, n)}
    assert differing - {"student", "evaluate"} == changed - {"student", "evaluate"}
    if changed:
        assert "student" in differing


def test_noise_makes_labels_differ_by_seed(without_data: None) -> None:
    """Perfect boxes of two seeds give the same pseudo-masks; faulty ones do not."""
    only_boxes = ("grid.mask_shares=[0]", "grid.types=[box]")
    perfect = plan("demo", *only_boxes, seeds="2")
    faulty = plan("demo", *only_boxes, "recipe.noise.box_jitter=0.1", seeds="2")
    assert counts(perfect)["pseudomask"] == 1
    assert counts(faulty)["pseudomask"] == 2


def test_mixtures_of_weak_types_plan(without_data: None) -> None:
    """A policy that the paper never ran needs no new code."""
    policies = "grid.policies=[{mask: 0.1, box: 0.3, class: 0.6}]"
    graph = plan("demo", "grid.mask_shares=[]", policies, seeds="1")
    assert counts(graph)["pseudomask"] == 2
    assert counts(graph)["quality"] == 1


def test_faults_of_the_recipe_are_all_named(without_data: None) -> None:
    """Unknown fields and bad values deep in the recipe are told at once."""
    settings = ("recipe.teacher.setps=1", "recipe.student.schedule.steps=0")
    with pytest.raises(ConfigError) as caught:
        plan("demo", *settings)
    assert "teacher.setps: unknown field" in str(caught.value)
    assert "student.schedule.steps" in str(caught.value)


def test_missing_data_and_weights_are_one_line(without_data: None) -> None:
    """What is missing is told once, with the way to get each thing."""
    loaded = load_card("coco")
    sources = Sources(Path("cache"))
    build_graph(loaded.cells(), planner(loaded, sources))
    with pytest.raises(MissingError) as caught:
        sources.require()
    text = str(caught.value)
    assert "\n" not in text
    for part in ("coco", "train2017", "`data`", "hf download facebook/sam-vit-huge"):
        assert part in text


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


def test_own_card_is_short(tmp_path: Path, without_data: None) -> None:
    """A data set of one's own needs a handful of lines."""
    text = "base: tiny\nname: mine\ndatasets: [/data/mine]\n"
    text += "grid: {mask_shares: [0, 0.1, 1], types: [none, box]}\n"
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert len(plan(path).plans) == 5


def test_paths_hold_in_other_working_directories(
    tmp_path: Path, without_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a card names by relative path, workers find wherever they run; names stay names."""
    monkeypatch.chdir(tmp_path)
    for folder in ("set", "sam", "tiny"):
        (tmp_path / folder).mkdir()
    card = {"base": "tiny", "name": "mine", "datasets": ["set"]}
    Path("mine.yaml").write_text(yaml.safe_dump(card))
    told = [s.params for s in plan("mine.yaml", "recipe.models.sam=sam").stages.values()]
    places = {each.data.name_or_path for each in told if hasattr(each, "data")}
    assert places == {str(tmp_path / "set")}
    assert {each.sam.spec for each in told if hasattr(each, "sam")} == {str(tmp_path / "sam")}
    texts = [each.text for each in told if isinstance(each, PseudomaskParams) and each.text]
    assert {text.spec for text in texts} == {"tiny"}


def test_cards_are_data_only() -> None:
    """No card needs more than safe YAML."""
    for path in shipped("sweeps").rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict)


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
