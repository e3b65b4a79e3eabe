"""Detect: captions, class scores, proposals, and what becomes a prompt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teacher_world import detector_folder, write_dataset

from omnicost.errors import InputError
from omnicost.models.detectors.detector import (
    Caption,
    Detector,
    Queries,
    class_scores,
    load_detector,
    trained_on_coco,
)
from omnicost.pipeline import detect
from omnicost.pipeline.config import DetectConfig
from omnicost.pipeline.detect import to_proposals
from omnicost.pipeline.portions import Portion
from omnicost.pipeline.proposals import Detections, Proposals, select

NAMES = ("disc", "square", "red bar")
EVERYTHING = DetectConfig(keep_above=0.0, threshold=0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("detect")
    spec = detector_folder(root / "detector")
    return {
        "spec": spec,
        "detector": load_detector(spec),
        "dataset": write_dataset(root / "data", images=7),
    }


def run(world: dict, folder: Path, config: DetectConfig = EVERYTHING, **changes) -> Detections:
    out, work = folder / "out", folder / "work"
    out.mkdir(parents=True)
    work.mkdir(exist_ok=True)
    settings_ = {"mode": "all", **changes}
    detect.run(world["dataset"], world["spec"], config, out=out, work=work, **settings_)
    return Detections([out])


def test_portions_are_the_whole(world: dict, tmp_path: Path) -> None:
    """Each of three portions has its images; read together they are what one run finds."""
    whole, dataset = run(world, tmp_path / "whole"), world["dataset"]
    portions = [Portion(number, 3) for number in range(3)]
    found = [run(world, tmp_path / str(each), portion=each) for each in portions]
    for each, own in zip(portions, found, strict=True):
        inside = range(len(dataset))[each.of(len(dataset))]
        for index, image_id in enumerate(dataset.image_ids.tolist()):
            expected = whole.of(image_id) if index in inside else whole.of(-1)
            np.testing.assert_allclose(own.of(image_id).boxes, expected.boxes, atol=1e-3)
    together = Detections([tmp_path / str(each) / "out" for each in reversed(portions)])
    assert len(together) == len(whole)


def test_caption_is_names_with_dots(world: dict) -> None:
    """[CLS] disc . square . red bar . [SEP], with the tokens of each class known by position."""
    (caption,) = world["detector"].captions(NAMES, [0, 1, 2])
    assert caption.input_ids == (101, 200, 1012, 201, 1012, 202, 203, 1012, 102)
    assert caption.class_indices == (0, 1, 2)
    assert caption.spans == ((1, 2), (3, 4), (5, 7))
    text = world["detector"].tokenizer("disc . square . red bar .")["input_ids"]
    assert list(caption.input_ids[1:-1]) == [n for n in text if n not in (101, 102)]
    assert world["detector"].captions(NAMES, []) == []


def test_dots_inside_a_name_do_not_end_it(world: dict) -> None:
    """Capitals, underscores and dots of a name leave one phrase of its words."""
    (caption,) = world["detector"].captions(["Red. Bar_disc"], [0])
    assert caption.input_ids == (101, 202, 203, 200, 1012, 102)
    assert caption.spans == ((1, 4),)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=25))
def test_captions_split_at_the_model_s_length(world: dict, words: list[int]) -> None:
    """Every class is asked for once, in order, and no caption is longer than the model reads."""
    names = [" ".join(f"word{(n + k) % 40}" for k in range(count)) for n, count in enumerate(words)]
    captions = world["detector"].captions(names, range(len(names)))
    assert [index for caption in captions for index in caption.class_indices] == list(
        range(len(names))
    )
    for caption in captions:
        assert len(caption.input_ids) <= 32
        for index, (start, end) in zip(caption.class_indices, caption.spans, strict=True):
            assert end - start == words[index]
            assert caption.input_ids[end] == 1012
    lengths = [len(caption.input_ids) for caption in captions]
    for length, following in zip(lengths, captions[1:], strict=False):
        first = following.spans[0]
        assert length + first[1] - first[0] + 1 > 32, "the next class would still have fitted"


def test_name_longer_than_the_model_reads_is_refused(world: dict) -> None:
    """A single name that does not fit is an error, not cut in silence."""
    with pytest.raises(InputError, match="longer than 32 tokens"):
        world["detector"].captions(["word " * 40], [0])


def test_class_scores_are_those_of_its_tokens() -> None:
    """`max` is the best token's probability, `mean` the positive map's (rows adding to 1)."""
    chances = torch.rand(5, 12, generator=torch.Generator().manual_seed(0))
    spans = [(1, 2), (3, 6)]
    positive = torch.zeros(2, 12)
    positive[0, 1] = 1
    positive[1, 3:6] = 1 / 3
    assert torch.allclose(class_scores(chances, spans, "mean"), chances @ positive.T)
    expected = torch.stack([chances[:, 1], chances[:, 3:6].amax(1)], 1)
    assert torch.equal(class_scores(chances, spans, "max"), expected)


def test_captions_of_different_length_do_not_disturb_each_other(world: dict) -> None:
    """Images asked about different classes in one batch answer as they would alone."""
    detector: Detector = world["detector"]
    images = [world["dataset"].image(0), world["dataset"].image(2)]
    captions = [detector.captions(NAMES, [1])[0], detector.captions(NAMES, [0, 1, 2])[0]]
    together = detector.ask(detector.pixels(images), captions)
    spread = together[1].scores.std()
    assert spread > 0.05
    for image, caption, queries in zip(images, captions, together, strict=True):
        (alone,) = detector.ask(detector.pixels([image]), [caption])
        assert torch.allclose(queries.scores, alone.scores, atol=1e-4)
        assert torch.allclose(queries.boxes, alone.boxes, atol=1e-4)


@pytest.mark.parametrize(
    "family", ["GroundingDino", "MMGroundingDino"], ids=["plain", "mm_grounding"]
)
def test_queries_are_those_of_transformers(world: dict, tmp_path: Path, family: str) -> None:
    """Boxes and class scores of either family are what its own forward gives for the same text."""
    import transformers

    folder = detector_folder(tmp_path / "detector", family=family)
    detector = load_detector(folder)
    theirs = getattr(transformers, f"{family}ForObjectDetection").from_pretrained(folder).eval()
    assert type(detector.model) is type(theirs)
    (caption,) = detector.captions(NAMES, [0, 1, 2])
    pixels = detector.pixels([world["dataset"].image(0)])
    (queries,) = detector.ask(pixels, [caption])
    text = detector.tokenizer("disc . square . red bar .", return_tensors="pt")["input_ids"]
    ids = torch.tensor([[101, *[n for n in text[0].tolist() if n not in (101, 102)], 102]])
    with torch.no_grad():
        output = theirs(**pixels, input_ids=ids, attention_mask=torch.ones_like(ids))
    centre, size = output.pred_boxes[0, :, :2], output.pred_boxes[0, :, 2:]
    torch.testing.assert_close(queries.boxes, torch.cat([centre - size / 2, centre + size / 2], 1))
    chances = output.logits[0].sigmoid()
    assert chances.std() > 1e-3
    expected = torch.stack([chances[:, 1], chances[:, 3], chances[:, 5:7].amax(1)], 1)
    torch.testing.assert_close(queries.scores, expected)


def test_proposals_are_clipped_and_ordered() -> None:
    """Best class of each query, boxes inside the image in pixels, floor applied, best first."""
    boxes = torch.tensor([[-0.1, 0.2, 0.5, 1.3], [0.1, 0.1, 0.2, 0.2], [1.1, 0.0, 1.2, 0.5]])
    scores = torch.tensor([[0.2, 0.4], [0.9, 0.1], [0.8, 0.8]])
    caption = Caption((), (7, 3), ())
    other = (Caption((), (5,), ()), Queries(boxes[:1], torch.tensor([[0.05]])))
    found = to_proposals([(caption, Queries(boxes, scores)), other], (50, 100), 0.1)
    np.testing.assert_allclose(found.boxes, [[10, 5, 20, 10], [0, 10, 50, 50]])
    np.testing.assert_allclose(found.scores, [0.9, 0.4])
    np.testing.assert_array_equal(found.class_indices, [7, 3])


def test_every_image_is_asked_about_every_class(world: dict, tmp_path: Path) -> None:
    """In mode `all`, with the floor at 0, each image has all queries, as when asked directly."""
    found = run(world, tmp_path)
    dataset, detector = world["dataset"], world["detector"]
    captions = detector.captions(dataset.class_names, [0, 1, 2])
    assert len(found) > 7 * 5
    for index in range(len(dataset)):
        (queries,) = detector.ask(detector.pixels([dataset.image(index)]), captions)
        expected = to_proposals([(captions[0], queries)], dataset.sizes[index].tolist(), 0.0)
        got = found.of(int(dataset.image_ids[index]))
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(got.boxes, expected.boxes, atol=0.02)


def test_present_mode_asks_for_the_image_s_classes(world: dict, tmp_path: Path) -> None:
    """Only classes that the image is tagged with come up; an empty image has no proposal."""
    found = run(world, tmp_path, mode="present")
    dataset = world["dataset"]
    for index in range(len(dataset)):
        tags = set(dataset.instances(index).class_indices.tolist())
        got = found.of(int(dataset.image_ids[index]))
        assert set(got.class_indices.tolist()) <= tags
        assert bool(len(got.scores)) == bool(tags)


def test_floor_and_score_are_settings(world: dict, tmp_path: Path) -> None:
    """`keep_above` cuts the proposals; `mean` never scores above `max`."""
    all_ = run(world, tmp_path / "a")
    floor = float(np.median(all_.of(1).scores))
    high = run(world, tmp_path / "b", DetectConfig(keep_above=floor, threshold=1.0))
    np.testing.assert_array_equal(
        high.of(1).scores, all_.of(1).scores[all_.of(1).scores >= np.float32(floor)]
    )
    mean = run(world, tmp_path / "c", EVERYTHING.model_copy(update={"score": "mean"}))
    assert mean.of(1).scores.max() <= all_.of(1).scores.max() + 1e-6


def test_restart_takes_up_after_the_last_part(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that are done are not asked again, and the result is the same."""
    monkeypatch.setattr(detect, "PART_IMAGES", 3)
    whole = run(world, tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(done: int, *_: object) -> None:
        if done >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        run(world, tmp_path / "cut", report=stop)
    (tmp_path / "cut" / "out").rmdir()
    seen: list[int] = []
    cut = run(world, tmp_path / "cut", report=lambda done, *_: seen.append(done))
    assert seen[0] == 3
    for image_id in world["dataset"].image_ids.tolist():
        np.testing.assert_array_equal(cut.of(image_id).scores, whole.of(image_id).scores)


def test_thresholds_and_nms_choose_the_prompts() -> None:
    """0.3 and class-wise NMS 0.9 by default; `all` suppresses across classes."""
    found = Proposals(
        np.array(
            [[0, 0, 100, 100], [0, 0, 101, 101], [0, 0, 100, 100], [50, 50, 150, 150]], np.float32
        ),
        np.array([0.9, 0.8, 0.7, 0.29], np.float32),
        np.array([0, 0, 1, 2]),
    )
    kept = select(found, DetectConfig())
    np.testing.assert_allclose(kept.scores, [0.9, 0.7])
    np.testing.assert_allclose(select(found, DetectConfig(nms="all")).scores, [0.9])
    low = DetectConfig(threshold=0.2, nms_iou=0.99)
    np.testing.assert_allclose(select(found, low).scores, [0.9, 0.8, 0.7, 0.29])
    assert len(select(found.take(np.zeros(0, int)), DetectConfig()).scores) == 0


def test_settings_that_contradict_each_other_are_refused() -> None:
    """A threshold under the floor asks for proposals that were never kept."""
    with pytest.raises(ValueError, match="never kept"):
        DetectConfig(threshold=0.05)


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("IDEA-Research/grounding-dino-base", True),
        ("/w/groundingdino_swinb_cogcoor.pth", True),
        ("IDEA-Research/grounding-dino-tiny", False),
        ("groundingdino_swint_ogc.pth", False),
        ("openmmlab-community/mm_grounding_dino_large_all", True),
        ("openmmlab-community/mm_grounding_dino_base_o365v1_goldg_v3det", False),
        ("tiny", False),
    ],
)
def test_checkpoints_that_saw_coco_are_known(spec: str, seen: bool) -> None:
    """Swin-B learnt from COCO, Swin-T did not; MM-GroundingDINO's when trained on all sets."""
    assert trained_on_coco(spec) is seen
