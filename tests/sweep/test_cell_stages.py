"""The shipped cards and what their cells need: sharing, keys, headers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from planned import counts, keys, plan
from teacher_world import write_dataset

from omnicost.engine.graph import build_graph, by_role
from omnicost.errors import ConfigError, MissingError
from omnicost.pipeline import portions
from omnicost.pipeline.portions import Portion
from omnicost.resources import shipped
from omnicost.sweep.cards.card import Hardware, recipe_of
from omnicost.sweep.cards.read_card import (
    HEADINGS,
    Changes,
    find_card,
    header,
    load_card,
    shipped_cards,
)
from omnicost.sweep.estimate import estimate
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import planner
from omnicost.sweep.stages.stage_params import PseudomaskParams, StudentParams, TeacherParams

CARDS = [path.stem for path in shipped_cards()]
TINY = [f"tiny-{name}" for name in ("coco", "ade20k", "cityscapes")]


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
