"""From given labels to a model: the same pseudo-masks and student as the simulated cell's."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from given_sets import write_given

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost.times import LabellingTimes
from omnicost.data import open_dataset
from omnicost.data.exports.unmasked import Unmasked
from omnicost.data.tiny.disk import write_coco
from omnicost.data.tiny.world import SPECS
from omnicost.engine.execute import execute
from omnicost.engine.store import Store
from omnicost.errors import ConfigError, InputError
from omnicost.models.students.student import Prediction
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.project.finish import write_outcome
from omnicost.project.model_folder import STUDENT, read_description
from omnicost.project.outcome import FIGURES, MERGED, PAGE, write_page
from omnicost.project.review import UNSEEN, doubt_of, plan_review, write_review
from omnicost.project.train import CARD, Training, TrainRequest, prepare_training
from omnicost.project.worst import WORST
from omnicost.sweep.cards.read_card import Changes
from omnicost.sweep.launch import Request, prepare
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan

MIXTURE = "mask=0.25,box=0.25,point=0.25,class=0.125,none=0.125"
SMALL = (
    "recipe.teacher.steps=2",
    "recipe.teacher.late_step=1",
    "recipe.teacher.points=32",
    "recipe.student.schedule.steps=2",
    "recipe.student.schedule.warmup_steps=0",
)


class World(NamedTuple):
    """A small set with masks throughout, and the folder of a test."""

    truth: Path
    root: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("train")
    write_coco(SPECS["tiny-coco"], root / "truth", {"train": 24, "val": 12})
    return World(root / "truth", root)


def trained(request: TrainRequest, store: Store) -> Training:
    training = prepare_training(request, Sources(store.data))
    training.prepared.sources.require()
    for stage in training.prepared.graph.stages.values():
        execute(store, stage)
    return training


def drawn(plan: CellPlan) -> dict[str, str]:
    """Keys of a cell's pseudo-masks by annotation type."""
    stages = [s for s in plan.stages if s.name == "pseudomask" and s.params.fold is None]
    return {str(s.params.annotation): s.key for s in stages}


@pytest.fixture(scope="module")
def given(world: World) -> tuple[Training, Store]:
    """The mixture's labels as somebody handed them in, and the model trained on them."""
    policy = Policy.parse(MIXTURE)
    labelled = write_given(world.root / "labelled", open_dataset(world.truth, "train"), policy)
    store = Store(world.root / "store")
    request = TrainRequest(labelled, world.root / "model", "tiny", world.truth, SMALL)
    return trained(request, store), store


def test_given_labels_equal_the_simulated_cell(world: World, given: tuple[Training, Store]) -> None:
    """The pseudo-mask tables are equal row for row, the students bit for bit."""
    training, store = given
    card = {
        "base": "tiny",
        "name": "simulated",
        "datasets": [{"name": str(world.truth)}],
        "grid": {"mask_shares": [], "types": [], "policies": [Policy.parse(MIXTURE).as_dict()]},
    }
    path = world.root / "simulated.yaml"
    path.write_text(yaml.safe_dump(card))
    simulated = prepare(Request(path, Changes(SMALL)), world.root / "cache")
    other = Store(world.root / "other")
    for stage in simulated.graph.stages.values():
        execute(other, stage)
    mine, theirs = training.plan, simulated.graph.plans[0]
    assert len(drawn(theirs)) == 4
    for annotation, key in drawn(mine).items():
        one = pseudomask.read(store.path(key))
        two = pseudomask.read(other.path(drawn(theirs)[annotation]))
        assert one.num_rows or annotation == "none"
        assert one.equals(two), annotation
    files = [s.path(p.outputs["student"]) / STUDENT for s, p in ((store, mine), (other, theirs))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_folder_of_a_model(given: tuple[Training, Store]) -> None:
    """Student, merged labels that open as a set with masks, figures with an interval, the card."""
    training, store = given
    outcome = write_outcome(training, store)
    out = training.request.out
    assert read_description(out).class_names == SPECS["tiny-coco"].class_names
    assert (out / STUDENT).is_file()
    merged = json.loads((out / MERGED).read_text())
    assert {each["source"] for each in merged["annotations"]} > {"human"}
    assert all("segmentation" in each for each in merged["annotations"])
    assert outcome.labels == {"none": 3, "class": 3, "point": 6, "box": 6, "mask": 6}
    assert sum(outcome.instances.values()) == len(merged["annotations"])
    assert outcome.held_out is not None
    assert outcome.held_out.images == 12
    assert outcome.held_out.low <= outcome.held_out.ap <= outcome.held_out.high
    assert yaml.safe_load((out / CARD).read_text())["base"] == "tiny"
    assert "AP" in outcome.lines()[0]


def test_a_trial_leaves_a_finished_model_alone(
    world: World, given: tuple[Training, Store], tmp_path: Path
) -> None:
    """Planning a training writes nothing: the card beside a model is of what ran."""
    training, store = given
    write_outcome(training, store)
    before = (training.request.out / CARD).read_bytes()
    other = replace(training.request, seed=7)
    assert "- 7" in prepare_training(other, Sources(store.data)).card
    assert (training.request.out / CARD).read_bytes() == before
    new = replace(other, out=tmp_path / "new", settings=("recipe.teachr.steps=2",))
    with pytest.raises(ConfigError, match=r"^card\.yaml: recipe.teachr: unknown field"):
        prepare_training(new, Sources(store.data))
    assert not new.out.exists()


def test_how_good_the_pseudo_masks_are(given: tuple[Training, Store]) -> None:
    """Every weak type is judged on the images with masks, with an interval; the worst are drawn."""
    training, store = given
    outcome = write_outcome(training, store)
    assert set(outcome.quality) == {"none", "class", "point", "box"}
    for kind, found in outcome.quality.items():
        assert found["images"] == 6
        assert found["f1"]["low"] <= found["f1"]["value"] <= found["f1"]["high"]
        assert (found["miou"] is None) == (kind in ("none", "class"))
    drawn = {path.stem for path in (training.request.out / WORST).glob("*.png")}
    assert drawn == {kind for kind, found in outcome.quality.items() if found["worst"]}
    assert drawn


def test_the_page_stands_alone(given: tuple[Training, Store], tmp_path: Path) -> None:
    """One file without script or network; what people named is shown as text, not as markup."""
    training, store = given
    outcome = write_outcome(training, store)
    lost = Unmasked(1, 2, "<script>alert(1)</script>\u202e")
    named = TrainRequest(Path("a <b>set</b>"), training.request.out, settings=("x=<i>",))
    page = tmp_path / "index.html"
    write_page(page, replace(training, request=named), outcome._replace(empty=(lost,)), {})
    text = page.read_text()
    assert "a &lt;b&gt;set&lt;/b&gt;" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "x=&lt;i&gt;" in text
    assert "<script" not in text
    assert "\u202e" not in text  # what would turn the line around is spelled out
    assert "http" not in text.replace("http-equiv", "")
    assert f"{outcome.quality['box']['miou']['value']:.1f}" in text
    assert "data:image/png;base64," in (training.request.out / PAGE).read_text()


def test_every_labelled_instance_is_accounted_for(given: tuple[Training, Store]) -> None:
    """Each point and box has a mask in the merged labels or is listed as without one."""
    training, store = given
    outcome = write_outcome(training, store)
    content = json.loads((training.request.labelled / "instances.json").read_text())
    weak = {
        a["id"]
        for a in content["annotations"]
        if "point" in a or ("bbox" in a and "segmentation" not in a)
    }
    merged = {
        a["id"] for a in json.loads((training.request.out / MERGED).read_text())["annotations"]
    }
    assert weak == (weak & merged) | {each.annotation_id for each in outcome.empty}
    assert not merged & {each.annotation_id for each in outcome.empty}


def test_what_is_reviewed_first(given: tuple[Training, Store], tmp_path: Path) -> None:
    """Images come by gain per second, as many as the hours hold; masked ones never."""
    training, store = given
    write_outcome(training, store)
    model = training.request.out
    everything = plan_review(model, 1e6, LabellingTimes())
    rates = [doubt.rate for doubt in everything.doubts]
    assert rates == sorted(rates, reverse=True)
    assert len(everything.doubts) == 18
    assert everything.left == 0
    few = plan_review(model, 0.1, LabellingTimes())
    assert sum(doubt.seconds for doubt in few.doubts) <= 360
    assert few.left == 18 - len(few.doubts)
    assert few.doubts == everything.doubts[: len(few.doubts)]
    paths = write_review(tmp_path / "tasks", everything)
    tasks = json.loads(paths[1].read_text())
    listing = list(csv.DictReader(paths[2].open()))
    assert [each["data"]["file_name"] for each in tasks] == [each["file_name"] for each in listing]
    merged = everything.merged
    masked = set(merged.dataset.file_names[merged.is_human].tolist())
    assert not masked & {each["file_name"] for each in listing}


def test_a_review_reads_scores_as_they_turned_out(given: tuple[Training, Store]) -> None:
    """Scores that were worth nothing on the images with masks raise the doubt of all others."""
    training, store = given
    write_outcome(training, store)
    model = training.request.out
    before = plan_review(model, 1e6, LabellingTimes())
    figures = json.loads((model / FIGURES).read_text())
    for found in figures["quality"].values():
        found["calibration"] = [[0.0, 1.0], [0.0, 0.0]]
    (model / FIGURES).write_text(json.dumps(figures))
    after = plan_review(model, 1e6, LabellingTimes())
    assert all(each.expected_iou == 0 for doubt in after.doubts for each in doubt.instances)
    gains = [sum(doubt.gain for doubt in found.doubts) for found in (before, after)]
    assert gains[1] > gains[0]


def test_agreement_lowers_doubt(given: tuple[Training, Store]) -> None:
    """A student that draws the very masks leaves less doubt than one that sees nothing."""
    training, store = given
    write_outcome(training, store)
    merged = plan_review(training.request.out, 1e6, LabellingTimes()).merged
    index = next(i for i in range(len(merged.dataset)) if len(merged.rows(i)) > 1)
    rows = merged.rows(index)
    classes = np.asarray(merged.pseudo.class_indices)[rows]
    same = Prediction(
        tuple(merged.rle(index, row) for row in rows), classes, np.ones(len(rows), np.float32)
    )
    nothing = Prediction((), np.zeros(0, np.int64), np.zeros(0, np.float32))
    other = same._replace(class_indices=classes + 1)
    agreed, blind, wrong = (doubt_of(merged, index, each, 79.0) for each in (same, nothing, other))
    assert agreed.gain < blind.gain < wrong.gain
    assert agreed.count(UNSEEN) == 0
    assert wrong.count(UNSEEN) <= len(rows)


@pytest.mark.parametrize("only", ["box", "point", "class", "none"])
def test_a_set_of_one_weak_type(only: str, world: World) -> None:
    """Without any mask the released teacher draws all, and a student comes of it, unscored."""
    train = open_dataset(world.truth, "train").take(np.arange(6))
    labelled = write_given(world.root / f"only-{only}", train, Policy.of({only: 1.0}))
    store = Store(world.root / f"store-{only}")
    training = trained(
        TrainRequest(labelled, world.root / f"model-{only}", "tiny", None, SMALL), store
    )
    assert training.held_out == 0
    outcome = write_outcome(training, store)
    assert outcome.held_out is None
    assert "not known" in outcome.lines()[0]
    assert (training.request.out / STUDENT).is_file()


def test_a_fifth_of_the_masked_images_scores(world: World) -> None:
    """Without a named set some images with masks are held out, always the same, and said."""
    train = open_dataset(world.truth, "train")
    labelled = write_given(world.root / "half", train, Policy.parse("mask=0.9,box=0.1"))
    held = open_dataset(labelled, "val")
    assert (held.given == AnnotationType.MASK.strength).all()
    rest = open_dataset(labelled, "train")
    assert len(held) + len(rest) == 24
    assert not set(held.image_ids.tolist()) & set(rest.image_ids.tolist())


def test_what_cannot_be_trained_on(world: World, tmp_path: Path) -> None:
    """A set with masks throughout, and a validation set of other classes, are refused."""
    sources = Sources(tmp_path / "cache")
    with pytest.raises(InputError, match="given labels"):
        prepare_training(TrainRequest(world.truth, tmp_path / "model", "tiny"), sources)
    other = tmp_path / "other"
    write_coco(SPECS["tiny-cityscapes"], other, {"train": 2, "val": 2})
    labelled = write_given(
        tmp_path / "labelled", open_dataset(world.truth, "train"), Policy.parse("box=1")
    )
    with pytest.raises(InputError, match="classes"):
        prepare_training(TrainRequest(labelled, tmp_path / "model", "tiny", other), sources)
