"""Pseudo-masks: every annotation type, one pass for all jobs, artefacts that do not mix."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pseudomask_world import BOX, CLASS, IMAGES, MASK, NONE, POINT, SCRIBBLE, decoded, job, run
from pycocotools import mask as mask_api

from omnicost.data import Dataset, weak_label
from omnicost.errors import InputError
from omnicost.models.teachers.frame import Frame
from omnicost.pipeline.config import (
    DetectConfig,
    RefineConfig,
)
from omnicost.pipeline.proposals import Detections, select
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job, boxes_of


def sam_masks(world: dict, index: int, points, boxes, multimask: bool) -> tuple:
    """What transformers' own SAM gives, straight from the picture."""
    dataset, sam = world["dataset"], world["sam"]
    size = tuple(dataset.sizes[index].tolist())
    prompts = Frame(64).prompts(points, boxes, size)
    with torch.no_grad():
        pixels = Frame(64).pixel_values([dataset.image(index)])
        image = sam.vision_encoder(pixels).last_hidden_state.half().float()
        output = sam(
            image_embeddings=image,
            input_points=None if points is None else prompts.points[None],
            input_boxes=None if boxes is None else prompts.boxes[None],
            multimask_output=multimask,
        )
    best = output.iou_scores[0].argmax(1)
    low = output.pred_masks[0][torch.arange(len(best)), best]
    masks = Frame(64).full_size_logits(low, size) > 0
    return masks.numpy(), output.iou_scores[0].amax(1).numpy()


def rows_of(rows: list[dict], dataset: Dataset, index: int) -> list[dict]:
    return [row for row in rows if row["image_id"] == dataset.image_ids[index]]


def check_masks(rows: list[dict], masks: np.ndarray) -> None:
    """Each row's mask is the expected one but for a pixel's rounding; empty ones have no row."""
    drawn = [mask for mask in masks if mask.any()]
    assert len(rows) == len(drawn)
    for row, mask in zip(rows, drawn, strict=True):
        assert (decoded(row) != mask).sum() <= 2


def test_box_with_released_weights_is_sam(world: dict, tmp_path: Path) -> None:
    """At f = 0 a box's pseudo-mask is what SAM gives for that box, with its own score."""
    (rows,) = run(world, [job(world, BOX, tmp_path / "o", "released")], tmp_path / "w")
    dataset = world["dataset"]
    for index in IMAGES:
        truth = dataset.instances(index)
        got = rows_of(rows, dataset, index)
        if not len(truth.boxes):
            assert not got
            continue
        masks, iou = sam_masks(world, index, None, truth.boxes, multimask=False)
        check_masks(got, masks)
        kept = masks.any((1, 2))
        np.testing.assert_array_equal(
            [row["annotation_id"] for row in got], truth.annotation_ids[kept]
        )
        np.testing.assert_allclose(
            [row["score"] for row in got], np.clip(iou[kept], 0, 1), atol=1e-3
        )
        np.testing.assert_allclose([row["prompt_box"] for row in got], truth.boxes[kept])
    assert {row["source"] for row in rows} == {"box"}
    assert all(row["point"] is None and row["sam_box"] is None for row in rows)


def test_lone_point_of_released_weights_takes_the_best_of_three(
    world: dict, tmp_path: Path
) -> None:
    """Without refinement the point's mask is the best of SAM's three; once tuned, the single."""
    plain = RefineConfig(enabled=False)
    jobs = [
        job(world, POINT, tmp_path / each, each, refine=plain, seed=3)
        for each in ("released", "tuned")
    ]
    rows, tuned_rows = run(world, jobs, tmp_path / "w")
    dataset = world["dataset"]
    differ = 0
    for index in IMAGES[:-1]:
        label = weak_label(dataset, index, POINT, seed=3)
        best, _ = sam_masks(world, index, label.points, None, multimask=True)
        single, _ = sam_masks(world, index, label.points, None, multimask=False)
        check_masks(rows_of(rows, dataset, index), best)
        differ += (best != single).sum()
    assert differ > 100
    assert tuned_rows
    assert all(row["prompt_box"] is None for row in rows)
    ids = {row["annotation_id"]: row["point"] for row in rows}
    assert len(ids) == len(rows)


def test_scribbles_are_prompts_of_several_points(world: dict, tmp_path: Path) -> None:
    """A stroke's mask is SAM's single one for its points; then Algorithm 1 refines it."""
    made = {each: tmp_path / each for each in ("drawn", "refined")}
    jobs = [
        job(world, SCRIBBLE, made["drawn"], "released", refine=RefineConfig(enabled=False)),
        job(world, SCRIBBLE, made["refined"], "released"),
        job(world, SCRIBBLE, tmp_path / "tuned", "tuned"),
    ]
    drawn, refined, tuned = run(world, jobs, tmp_path / "w")
    dataset = world["dataset"]
    for index in IMAGES[:-1]:
        label = weak_label(dataset, index, SCRIBBLE)
        masks, _ = sam_masks(world, index, label.points, None, multimask=False)
        check_masks(rows_of(drawn, dataset, index), masks)
        own = [row["point"] for row in rows_of(drawn, dataset, index)]
        np.testing.assert_array_equal(own, label.points[masks.any((1, 2))].reshape(len(own), -1))
    assert {row["source"] for row in drawn} == {"scribble"}
    assert all(row["prompt_box"] is not None and row["sam_box"] is not None for row in refined)
    assert tuned


def test_none_and_class_are_drawn_from_selected_detections(world: dict, tmp_path: Path) -> None:
    """Detections over 0.3 after NMS are the prompts; class and score are the detection's."""
    jobs = [job(world, kind, tmp_path / kind, "released") for kind in (NONE, CLASS)]
    none, class_ = run(world, jobs, tmp_path / "w")
    dataset = world["dataset"]
    detections = Detections([world["found"]])
    for index in IMAGES:
        chosen = select(detections.of(int(dataset.image_ids[index])), DetectConfig())
        masks, _ = sam_masks(world, index, None, chosen.boxes, multimask=False)
        kept = masks.any((1, 2))
        got = rows_of(none, dataset, index)
        check_masks(got, masks)
        np.testing.assert_allclose([row["score"] for row in got], chosen.scores[kept])
        np.testing.assert_array_equal(
            [row["class_index"] for row in got], chosen.class_indices[kept]
        )
    assert {row["annotation_id"] for row in none} == {-1}
    assert {row["source"] for row in none} == {"none"}
    assert {row["source"] for row in class_} == {"class"}
    assert [row["rle"] for row in none] == [row["rle"] for row in class_]
    assert min(row["score"] for row in none) >= 0.3


def test_points_are_refined_with_detections(world: dict, tmp_path: Path) -> None:
    """Near a true box of the right class the prompt becomes that box; else P-SAM's box stays."""
    near = job(world, POINT, tmp_path / "near", "released")
    none_usable = RefineConfig(tau_c=0.95)
    alone = job(world, POINT, tmp_path / "alone", "released", refine=none_usable)
    rows, unrefined = run(world, [near, alone], tmp_path / "w")
    dataset = world["dataset"]
    truth = {
        int(annotation): box
        for index in IMAGES
        for annotation, box in zip(*dataset.instances(index)[:3:2], strict=True)
    }
    hit = [np.allclose(row["prompt_box"], truth[row["annotation_id"]] + 1) for row in rows]
    assert np.mean(hit) > 0.5
    assert all(row["prompt_box"] == row["sam_box"] for row in unrefined)
    index = 0
    label = weak_label(dataset, index, POINT)
    got = rows_of(rows, dataset, index)
    boxes = np.array([row["prompt_box"] for row in got])
    assert len(got) == len(label.points)
    masks, _ = sam_masks(world, index, label.points, boxes, multimask=False)
    check_masks(got, masks)


def test_real_masks_are_kept(world: dict, tmp_path: Path) -> None:
    """A fully labelled image's rows are its ground truth, to the byte."""
    (rows,) = run(world, [job(world, MASK, tmp_path / "o")], tmp_path / "w")
    dataset = world["dataset"]
    for index in IMAGES:
        truth = dataset.instances(index)
        got = rows_of(rows, dataset, index)
        assert [row["rle"] for row in got] == [rle["counts"] for rle in truth.rles]
        assert [row["annotation_id"] for row in got] == truth.annotation_ids.tolist()
        assert [row["box"] for row in got] == truth.boxes.tolist()
    assert {(row["source"], row["score"]) for row in rows} == {("human", 1.0)}


def test_missing_inputs_are_one_line_before_any_work(world: dict, tmp_path: Path) -> None:
    """A job without its teacher or detections is refused at once."""
    lacking = Job(CLASS, IMAGES, tmp_path, {"mask": world["root"] / "tuned" / "box-class"})
    with pytest.raises(InputError, match="no detections"):
        run(world, [lacking], tmp_path / "w")
    with pytest.raises(InputError, match="no teacher 'mask'"):
        run(world, [Job(BOX, IMAGES, tmp_path)], tmp_path / "w")
    with pytest.raises(InputError, match="not a teacher of this SAM"):
        run(world, [Job(BOX, IMAGES, tmp_path, {"mask": tmp_path})], tmp_path / "w")
    with pytest.raises(InputError, match="no pseudo-masks can be read"):
        pseudomask.read(tmp_path)


def test_table_has_its_columns_even_when_empty(world: dict, tmp_path: Path) -> None:
    """No masks is a table of no rows."""
    empty = job(world, NONE, tmp_path / "o", images=())
    run(world, [empty], tmp_path / "w")
    table = pseudomask.read(empty.out)
    assert table.num_rows == 0
    assert table.schema.field("rle").type == pa.binary()
    assert table.column_names[:7] == [
        "image_id",
        "annotation_id",
        "class_index",
        "score",
        "source",
        "box",
        "rle",
    ]


@given(arrays(bool, st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9))))
def test_boxes_are_those_of_the_codes(mask: np.ndarray) -> None:
    """Tight around any mask, as pycocotools has them."""
    x, y, across, down = mask_api.toBbox(mask_api.encode(np.asfortranarray(mask[0], np.uint8)))
    (box,) = boxes_of(mask, None)
    assert box.tolist() == ([x, y, x + across, y + down] if mask.any() else [0, 0, 0, 0])


def test_box_of_an_empty_mask_is_its_point_s_pixel() -> None:
    """P-SAM may give nothing: the prompt box is then the pixel that was pointed at."""
    masks = np.zeros((2, 8, 9), bool)
    masks[0, 2:5, 3:7] = True
    boxes = boxes_of(masks, np.array([[[4.5, 3.5]], [[6.5, 1.5]]]))
    np.testing.assert_array_equal(boxes, [[3, 2, 7, 5], [6, 1, 7, 2]])
