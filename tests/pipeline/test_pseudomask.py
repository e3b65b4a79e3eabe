"""Pseudo-masks: every annotation type, one pass for all jobs, artefacts that do not mix."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_api
from teacher_world import text_folder, tiny_sam, write_dataset

from omnicost.annotation import PAPER_TYPES, AnnotationType
from omnicost.data import Dataset, weak_label
from omnicost.errors import InputError
from omnicost.models.teachers.frame import Frame
from omnicost.pipeline import embed
from omnicost.pipeline.config import (
    DetectConfig,
    EmbedConfig,
    PseudomaskConfig,
    RefineConfig,
    SelectConfig,
    TeacherConfig,
)
from omnicost.pipeline.detect import write_proposals
from omnicost.pipeline.embed import Embeddings
from omnicost.pipeline.proposals import Detections, Proposals, select
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.pseudomask.rows import Job, boxes_of
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher.kinds import TeacherKind

NONE, CLASS, POINT, BOX, MASK = PAPER_TYPES
SCRIBBLE = AnnotationType.SCRIBBLE
KINDS = ("box/plain", "box/class", "point/class", "point_box/class", "scribble/class",
         "scribble_box/class")  # fmt: skip
IMAGES = tuple(range(7))
BRIEF = TeacherConfig(steps=2, batch_images=3, points=32, learning_rate=1e-4, workers=0)


def found_on(dataset: Dataset, index: int) -> Proposals:
    """Each true box moved by a pixel, at 0.8; one of another class at 0.5; one at 0.2."""
    truth = dataset.instances(index)
    boxes = np.concatenate([truth.boxes + 1, [[1, 1, 30, 30], [2, 2, 20, 20]]]).astype(np.float32)
    scores = np.array([0.8] * len(truth.boxes) + [0.5, 0.2], np.float32)
    classes = np.concatenate([truth.class_indices, [0, 1]])
    return Proposals(boxes, scores, classes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("pseudomask")
    sam = tiny_sam()
    sam.save_pretrained(root / "sam")
    dataset = write_dataset(root / "data", images=7, seed=4)
    made = {"sam": sam, "spec": str(root / "sam"), "text": text_folder(root / "text")}
    (root / "found").mkdir()
    write_proposals(
        root / "found" / "detections.parquet",
        dataset,
        {index: found_on(dataset, index) for index in IMAGES},
    )
    for folder, labelled in (("released", []), ("tuned", IMAGES)):
        for name in KINDS:
            out = root / folder / name.replace("/", "-")
            work = out.with_name(out.name + "-work")
            out.mkdir(parents=True)
            work.mkdir()
            teacher.run(
                dataset,
                made["spec"],
                made["text"],
                BRIEF,
                kind=TeacherKind.parse(name),
                labelled=labelled,
                seed=0,
                out=out,
                work=work,
            )
    return {**made, "dataset": dataset, "root": root, "found": root / "found"}


def job(world: dict, annotation: AnnotationType, out: Path, tuned: str = "tuned", **changes) -> Job:
    out.mkdir(parents=True, exist_ok=True)
    refine = changes.get("refine", RefineConfig())
    kinds = {}
    if annotation is not AnnotationType.MASK:
        kinds = route_of(annotation).teachers(TeacherConfig(), refine)
    folders = {r: world["root"] / tuned / str(k).replace("/", "-") for r, k in kinds.items()}
    return Job(annotation, changes.pop("images", IMAGES), out, folders, [world["found"]], **changes)


def run(world: dict, jobs: list[Job], work: Path, **changes) -> list[list[dict]]:
    work.mkdir(exist_ok=True)
    config = changes.pop("config", PseudomaskConfig(part_images=3, images_per_block=2))
    pseudomask.run(
        world["dataset"], world["spec"], world["text"], config, jobs, work=work, **changes
    )
    return [pseudomask.read(each.out).to_pylist() for each in jobs]


def decoded(row: dict) -> np.ndarray:
    rle = {"size": [row["height"], row["width"]], "counts": row["rle"]}
    return mask_api.decode(rle).astype(bool)


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


def all_jobs(world: dict, folder: Path) -> list[Job]:
    """A mixed policy and some cells beside it."""
    return [
        job(world, MASK, folder / "mask", images=(0, 3)),
        job(world, BOX, folder / "box", images=(1, 5)),
        job(world, POINT, folder / "point", images=(2, 4, 6)),
        job(world, CLASS, folder / "class"),
        job(world, BOX, folder / "released", "released"),
        job(world, NONE, folder / "nothing", images=()),
    ]


def test_one_pass_gives_what_separate_passes_give(world: dict, tmp_path: Path) -> None:
    """No artefact depends on the jobs that shared its pass; types mix freely over the images."""
    together = run(world, all_jobs(world, tmp_path / "a"), tmp_path / "w")
    for number, each in enumerate(all_jobs(world, tmp_path / "b")):
        (alone,) = run(world, [each], tmp_path / f"w{number}")
        assert alone == together[number]
    assert together[-1] == []
    seen = {row["image_id"] for rows in together[:3] for row in rows}
    assert seen <= set(world["dataset"].image_ids.tolist())
    assert sum(map(len, together)) > 15


def test_each_embedding_is_read_once(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six jobs on seven images read seven embeddings at most, from the cache."""
    out, work = tmp_path / "embedded", tmp_path / "embedding"
    out.mkdir()
    work.mkdir()
    embed.run(world["dataset"], world["spec"], EmbedConfig(), out=out, work=work)
    asked: list[int] = []
    real = Embeddings.get

    def counted(self: Embeddings, index: int) -> np.ndarray:
        asked.append(index)
        return real(self, index)

    monkeypatch.setattr(Embeddings, "get", counted)
    monkeypatch.setattr(embed.ImageEncoder, "encode", None)
    run(world, all_jobs(world, tmp_path / "a"), tmp_path / "w", embeddings=[out])
    assert len(asked) == len(set(asked))
    assert set(asked) <= set(IMAGES)


def test_restart_takes_up_after_the_last_part(world: dict, tmp_path: Path) -> None:
    """Interrupted after a part: what was drawn stays, and another job may join in."""

    class Stopped(Exception):
        pass

    def stop(done: int, *_: object) -> None:
        raise Stopped

    first = [job(world, BOX, tmp_path / "box"), job(world, CLASS, tmp_path / "class")]
    with pytest.raises(Stopped):
        run(world, first, tmp_path / "w", report=stop)
    parts = sorted((tmp_path / "w").glob("*/*/part-*.parquet"))
    assert len(parts) == 2
    times = [part.stat().st_mtime_ns for part in parts]
    more = [*first[::-1], job(world, MASK, tmp_path / "mask")]
    resumed = run(world, more, tmp_path / "w")
    assert [part.stat().st_mtime_ns for part in parts] == times
    fresh = [job(world, k, tmp_path / "f" / k) for k in (CLASS, BOX, MASK)]
    assert resumed == run(world, fresh, tmp_path / "w2")


@pytest.mark.parametrize("size", [2, 6])
def test_a_restart_in_parts_of_another_size_loses_nothing(
    world: dict, tmp_path: Path, size: int
) -> None:
    """No mask is missing or there twice: parts of another size are drawn again."""
    reports = []

    def stop(done: int, *_: object) -> None:
        reports.append(done)
        if len(reports) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, [job(world, BOX, tmp_path / "a")], tmp_path / "w", report=stop)
    config = PseudomaskConfig(part_images=size, images_per_block=2)
    (resumed,) = run(world, [job(world, BOX, tmp_path / "a")], tmp_path / "w", config=config)
    (fresh,) = run(world, [job(world, BOX, tmp_path / "b")], tmp_path / "w2", config=config)
    assert resumed == fresh


def test_decoding_in_other_batches_changes_next_to_nothing(world: dict, tmp_path: Path) -> None:
    """How many prompts and images go together is a matter of speed."""
    one = PseudomaskConfig(part_images=1, images_per_block=1, decode_prompts=1)
    many = PseudomaskConfig(part_images=100, images_per_block=100, decode_prompts=64)
    (first,) = run(world, [job(world, POINT, tmp_path / "a")], tmp_path / "w1", config=one)
    (second,) = run(world, [job(world, POINT, tmp_path / "b")], tmp_path / "w2", config=many)
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        assert (decoded(left) != decoded(right)).sum() <= 2


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


def test_threads_change_nothing(world: dict, tmp_path: Path) -> None:
    """Blocks read ahead and masks encoded behind give the same bytes, images encoded or cached."""
    out, work = tmp_path / "embed", tmp_path / "embedding"
    for folder in (out, work):
        folder.mkdir()
    embed.run(world["dataset"], world["spec"], EmbedConfig(), out=out, work=work)
    for cached in ([], [out]):
        made = []
        for workers in (0, 3):
            name = f"{len(cached)}-{workers}"
            config = PseudomaskConfig(part_images=3, images_per_block=2, workers=workers)
            jobs = all_jobs(world, tmp_path / name)
            run(world, jobs, tmp_path / f"w{name}", config=config, embeddings=cached)
            made.append([(each.out / pseudomask.MASKS).read_bytes() for each in jobs])
        assert made[0] == made[1]


def test_a_job_is_named_once(world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name covers the list of its images, so it is not made anew for each of them."""
    named, identity = [], SelectConfig.identity
    monkeypatch.setattr(SelectConfig, "identity", lambda self: named.append(self) or identity(self))
    run(world, [job(world, BOX, tmp_path / "o")], tmp_path / "w")
    assert len(named) == 1


def test_blocks_of_large_pictures_are_cut_by_pixels() -> None:
    """Small pictures go by count; of 12 megapixels six or fewer lie in memory together."""
    small = pseudomask.blocks_of(np.full((40, 2), 64), 16)
    assert small == [(index // 16, 0) for index in range(40)]
    cityscapes = pseudomask.blocks_of(np.full((32, 2), (1024, 2048)), 16)
    assert len(set(cityscapes)) == 2
    large = pseudomask.blocks_of(np.full((20, 2), (3000, 4000)), 16)
    assert [large.count(block) for block in sorted(set(large))] == [6, 6, 4, 4]


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
