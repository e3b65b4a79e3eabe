"""Labels in hand: kept or raised, never lowered; only new ones are paid; budgets extend plans."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plan_cases import enumerate_whole, problems

from omnicost import api
from omnicost.annotation import AnnotationType
from omnicost.campaign import words
from omnicost.campaign.team import Team
from omnicost.cost import BUILT_IN, ORDER, seconds_paid_again, type_seconds
from omnicost.errors import InputError
from omnicost.labelling import (
    ImageList,
    assign,
    read_labels_in_hand,
    read_masks_first,
    write_manifest,
)
from omnicost.plan import Question, make_plan
from omnicost.plan.linear import best_with_limits
from omnicost.plan.optimise import MASK, Problem

COCO = BUILT_IN["coco"].with_images(2_000)
BOX, CLASS, POINT = (
    one.strength for one in (AnnotationType.BOX, AnnotationType.CLASS, AnnotationType.POINT)
)


@st.composite
def held_problems(draw: st.DrawFn, most_images: int = 6) -> Problem:
    """Any problem, with labels on some of its images."""
    problem = draw(problems(most_images))
    held = np.zeros(len(ORDER), np.int64)
    for strength in [*problem.strengths.tolist(), MASK]:
        if strength:
            held[strength] = draw(st.integers(0, problem.images - int(held.sum())))
    again = draw(st.integers(0, 4)) * min(problem.seconds[1:].min(), 8) / 4
    return replace(problem, in_hand=held, paid_again=again)


def keeps(held: np.ndarray, images: np.ndarray) -> bool:
    """Whether no label need be lowered: each strength or more is on as many images as before."""
    before, after = (np.cumsum(one[::-1]) for one in (held, images))
    return bool((after >= before).all())


@settings(max_examples=40, deadline=None)
@given(held_problems(), st.integers(0, 1500))
def test_equals_enumeration(problem: Problem, budget: int) -> None:
    """Over all divisions that lower nothing and fit the budget, at most an image or two is lost."""
    everything = enumerate_whole(replace(problem, masks_allowed=True))
    if not problem.masks_allowed:
        everything = everything[everything[:, MASK] == problem.held[MASK]]
    everything = everything[[keeps(problem.held, images) for images in everything]]
    within = everything[problem.cost(everything) <= budget]
    if not len(within):
        with pytest.raises(InputError, match="no policy"):
            best_with_limits(problem, {}, float(budget))
        return
    images = best_with_limits(problem, {}, float(budget))
    assert keeps(problem.held, images)
    assert problem.cost(images) <= budget + 1e-6
    best = problem.share_of_full(within).max()
    assert problem.share_of_full(images) >= best - 2 / problem.images - 1e-6


@settings(max_examples=25, deadline=None)
@given(problems(8), st.integers(0, 1200), st.integers(0, 1200), st.integers(0, 3))
def test_a_raised_budget_extends_the_plan(
    problem: Problem, first: int, more: int, seed: int
) -> None:
    """After a plan is done, more money raises labels, lowers none, and expects no less AP."""
    kinds = [*problem.strengths, *([MASK] if problem.masks_allowed else [])]
    assume(min(problem.seconds[kinds]) * problem.images <= first)
    before = best_with_limits(problem, {}, float(first))
    labels = assign(before, seed)
    held = np.where(np.arange(len(ORDER)) > 0, before, 0)
    assume(held.sum() == problem.images or 0 in problem.strengths)
    extending = replace(problem, in_hand=held)
    if min(problem.seconds[kinds]) * (problem.images - held.sum()) > more:  # `none` has a price
        with pytest.raises(InputError, match="no policy"):
            best_with_limits(extending, {}, float(more))
        return
    after = best_with_limits(extending, {}, float(more))
    extended = assign(after, seed, labels)
    assert (extended >= labels).all()
    assert np.bincount(extended, minlength=len(ORDER)).tolist() == after.tolist()
    if problem.seconds[0] == 0 or before[0] == 0:  # else what has no label must be paid again
        assert problem.share_of_full(after) >= problem.share_of_full(before) - 1e-9


@given(
    st.lists(st.integers(0, len(ORDER) - 1), min_size=1, max_size=30),
    st.lists(st.integers(0, len(ORDER) - 1), min_size=30, max_size=30),
    st.integers(0, 3),
)
def test_assignment_keeps_or_raises(labels: list[int], steps: list[int], seed: int) -> None:
    """Whatever a plan raises, every type has its number of images and no label is lowered."""
    held = np.array(labels, np.int8)
    target = np.maximum(held, np.array(steps[: len(held)]))
    images = np.bincount(target, minlength=len(ORDER))
    assigned = assign(images, seed, held)
    assert (assigned >= held).all()
    assert np.bincount(assigned, minlength=len(ORDER)).tolist() == images.tolist()


def test_a_later_budget_keeps_every_label() -> None:
    """The labels of a plan for 5 h are in the plan for 50 h more."""
    first = make_plan(Question(5.0), COCO, dataset="coco", draws=100)
    held = np.where(np.arange(len(ORDER)) > 0, first.images, 0)
    second = make_plan(Question(50.0), COCO, dataset="coco", draws=100, in_hand=held)
    assert keeps(held, second.images)
    assert second.hours <= 50
    assert second.expectation.share > first.expectation.share
    assert (second.new_labels[1:] == np.maximum(second.images - held, 0)[1:]).all()
    assert second.label_hours.sum() == pytest.approx(second.hours)


def test_only_new_labels_are_paid_for() -> None:
    """Labels that are kept cost nothing; a raised one costs less by the tags it shares."""
    held = np.zeros(len(ORDER), np.int64)
    held[BOX] = 2_000
    kept = make_plan(Question(0.0), COCO, dataset="coco", draws=100, in_hand=held)
    assert kept.images[BOX] == 2_000
    assert kept.hours == 0
    again = seconds_paid_again(COCO)
    assert again == pytest.approx(COCO.classes - COCO.classes_per_image)
    raised = make_plan(Question(target=0.99), COCO, dataset="coco", draws=100, in_hand=held)
    masks = int(raised.images[MASK])
    assert masks > 0
    assert raised.hours * 3600 == pytest.approx(masks * (type_seconds(COCO)[MASK] - again))


@pytest.mark.parametrize("question", [Question(target=0.97), Question(60.0, confidence=0.9)])
def test_targets_and_confidence_keep_labels_too(question: Question) -> None:
    """The other questions hold with labels in hand."""
    held = np.zeros(len(ORDER), np.int64)
    held[[CLASS, POINT, MASK]] = 300, 200, 20
    plan = make_plan(question, COCO, dataset="coco", draws=100, in_hand=held)
    assert keeps(held, plan.images)
    if question.target is not None:
        assert plan.expectation.share >= 0.97 - 1e-9
    else:
        assert plan.risk.p90_hours <= 60


def test_labels_that_do_not_fit_are_refused() -> None:
    """More labels than images, or labels that nobody measured."""
    held = np.zeros(len(ORDER), np.int64)
    held[BOX] = 2_001
    with pytest.raises(InputError, match="in_hand"):
        make_plan(Question(5.0), COCO, dataset="coco", draws=100, in_hand=held)
    held[BOX] = 10
    point = [AnnotationType.POINT]
    with pytest.raises(InputError, match="box"):
        make_plan(Question(5.0), COCO, dataset="coco", draws=100, in_hand=held, types=point)


# --- files


def test_labels_of_a_coco_file(tmp_path: Path) -> None:
    """An image counts as its least labelled instance; names find their place; others are told."""
    path = tmp_path / "labels.json"
    box = {"bbox": [1, 2, 3, 4]}
    mask = {**box, "segmentation": [[0, 0, 1, 0, 1, 1]]}
    labels = {1: [mask, mask], 2: [mask, box], 3: [{}], 5: [{"keypoints": [1, 2, 2]}]}
    records = [{"id": i, "file_name": f"{i}.jpg"} for i in range(1, 6)]
    listed = [{"image_id": i, "category_id": 1, **one} for i, own in labels.items() for one in own]
    path.write_text(json.dumps({"images": records, "annotations": listed}))
    names = [f"{i}.jpg" for i in (5, 4, 3, 2, 1, 9)]
    found = read_labels_in_hand(path, ImageList("here", 6, names=names))
    assert found.tolist() == [POINT, 0, CLASS, BOX, MASK, 0]
    with pytest.raises(InputError, match=r"2 images are not in here, such as '1\.jpg'"):
        read_labels_in_hand(path, ImageList("here", 3, names=["5.jpg", "4.jpg", "3.jpg"]))
    with pytest.raises(InputError, match="5 images, but the project has 4"):
        read_labels_in_hand(path, ImageList("a bare count", 4))


def test_labels_of_a_set_with_given_labels(tmp_path: Path) -> None:
    """What an image says of itself counts, and points of `omnicost data import` are points."""
    types = ["none", "class", "point", "box", "mask"]
    records = [
        {"id": n, "file_name": f"{n}.jpg", "omnicost_type": kind} for n, kind in enumerate(types)
    ] + [{"id": 5, "file_name": "5.jpg"}]
    drawn = [{"image_id": 3, "category_id": 1}, {"image_id": 5, "category_id": 1, "point": [1, 2]}]
    (tmp_path / "instances.json").write_text(json.dumps({"images": records, "annotations": drawn}))
    images = ImageList("here", 6, names=[f"{n}.jpg" for n in range(6)])
    assert read_labels_in_hand(tmp_path, images).tolist() == [0, CLASS, POINT, BOX, MASK, POINT]
    records[0]["omnicost_type"] = "polygon"
    (tmp_path / "instances.json").write_text(json.dumps({"images": records, "annotations": drawn}))
    with pytest.raises(InputError, match=r"image 0: omnicost_type: unknown annotation type"):
        read_labels_in_hand(tmp_path, images)


def points_and_masks(points: int, masks: int) -> np.ndarray:
    """Images per type."""
    images = np.zeros(len(ORDER), np.int64)
    images[[POINT, MASK]] = points, masks
    return images


def test_masks_go_where_a_review_says(tmp_path: Path) -> None:
    """The first of the list get the masks, what it leaves out the last; names must be known."""
    listing = tmp_path / "review.csv"
    listing.write_text("rank,file_name\n1,3.jpg\n2,0.jpg\n")
    images = ImageList("here", 5, names=[f"{n}.jpg" for n in range(5)])
    places = read_masks_first(listing, images)
    assert places.tolist() == [1, 2, 2, 0, 2]
    for masks in range(1, 3):
        found = assign(points_and_masks(5 - masks, masks), 7, masks_first=places)
        assert np.flatnonzero(found == MASK).tolist() == sorted([3, 0][:masks])
    listing.write_text("file_name\nother.jpg\n")
    with pytest.raises(InputError, match=r"1 images are not in here, such as 'other\.jpg'"):
        read_masks_first(listing, images)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, MASK), min_size=1, max_size=30),
    st.lists(st.integers(0, 3), max_size=8),
    st.randoms(use_true_random=False),
)
def test_wished_masks_lower_nothing(labels: list[int], raised: list[int], chance: Random) -> None:
    """Whatever order is wished, each type has its number, no label is lowered, and without labels
    in hand the masks are the first of the order."""
    held = np.array(labels, np.int8)
    target = held.copy()
    for place, _ in enumerate(raised[: len(held)]):
        target[place] = min(MASK, target[place] + 1 + chance.randrange(4))
    images = np.bincount(target, minlength=len(ORDER))
    order = np.array(chance.sample(range(len(held)), len(held)))
    found = assign(images, 3, held, masks_first=order)
    assert (found >= held).all()
    assert np.bincount(found, minlength=len(ORDER)).tolist() == images.tolist()
    free = assign(images, 3, masks_first=order)
    assert sorted(order[free == MASK].tolist()) == list(range(images[MASK]))
    alike = np.where(held == MASK, MASK, POINT).astype(np.int8)  # points everywhere: free to choose
    extra = min(3, int((alike == POINT).sum()))
    images = points_and_masks((alike == POINT).sum() - extra, (alike == MASK).sum() + extra)
    new = (assign(images, 3, alike, masks_first=order) == MASK) & (alike != MASK)
    assert set(order[new].tolist()) == set(sorted(order[alike != MASK].tolist())[:extra])


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "[]"), ("a.json", '{"images": []}'), ("a.csv", ""), ("a.csv", "file_name\nx.jpg")],
)
def test_files_without_labels_are_refused(tmp_path: Path, name: str, text: str) -> None:
    """Each is one line that names the file."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=name):
        read_labels_in_hand(path, ImageList("a bare count", 4))


def test_a_manifest_goes_back_in(tmp_path: Path) -> None:
    """The next plan of the same pictures takes the last one's manifest, image by image."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(60):
        (pictures / f"{index:02}.jpg").write_bytes(b"")
    first = api.plan("0.5h", dataset="coco", images=pictures, draws=100)
    labels = assign(first.plan.images, first.seed)
    assert first.images is not None
    write_manifest(tmp_path / "out", first.images, labels)
    manifest = tmp_path / "out" / "manifest.csv"
    second = api.plan("2h", dataset="coco", images=pictures, draws=100, in_hand=manifest)
    assert second.held is not None
    assert (second.held == labels).all()
    extended = assign(second.plan.images, second.seed, second.held)
    assert (extended >= labels).all()
    assert second.plan.as_dict()["in_hand"]["point"] == int((labels == POINT).sum())
    with manifest.open() as file:
        assert len(list(csv.DictReader(file))) == 60


def test_labels_in_hand_shorten_the_calendar_too(tmp_path: Path) -> None:
    """Raised labels take what is left to pay of them: in hours, in weeks, and an image."""
    path = tmp_path / "held.csv"
    path.write_text("annotation_type\n" + "".join("class\n" for _ in range(2_000)))
    report = api.plan("15h", dataset="coco", images=2_000, in_hand=path, team=Team(1, 40), draws=50)
    assert report.calendar is not None
    tail = 0.6  # the last labels are reviewed, done again and reviewed on the days that follow
    assert report.hours / 40 < report.calendar.weeks < report.hours / 40 + tail
    *rows, _ = words.allocation_rows(report)
    new = dict(zip(map(str, ORDER), report.plan.new_labels, strict=True))
    hours = sum(new[row[0]] * float(row[3].replace(",", "")) / 3600 for row in rows)
    assert hours == pytest.approx(report.hours, rel=0.05)
