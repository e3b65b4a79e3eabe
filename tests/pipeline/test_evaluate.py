import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import REAL
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from student_world import encode, make_dataset

from omnicost.data import Dataset, SizeBounds, open_dataset
from omnicost.models import masks
from omnicost.models.students import mask2former, resize
from omnicost.models.students.student import Prediction
from omnicost.pipeline import evaluate
from omnicost.pipeline.compute import write_figures
from omnicost.progress import silent

PHOTOS = REAL / "coco"
TWELVE = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR1", "AR10", "AR100")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("toy"), images=12, seed=3, split="val")


def perfect(dataset: Dataset) -> Iterator[tuple[int, Prediction]]:
    for index in range(len(dataset)):
        truth = dataset.instances(index)
        scores = np.full(len(truth.rles), 0.9, np.float32)
        yield index, Prediction(truth.rles, truth.class_indices, scores)


def perturbed(dataset: Dataset, seed: int = 0) -> Iterator[tuple[int, Prediction]]:
    """Ground truth moved, cut, missed, misnamed and found twice, with scores that mean little."""
    rng = np.random.default_rng(seed)
    for index in range(len(dataset)):
        truth = dataset.instances(index, crowds=True)
        rles, kinds = [], []
        for mask, kind in zip(truth.masks(), truth.class_indices, strict=True):
            for _ in range(int(rng.integers(0, 4))):
                reach = max(1, int(0.1 * mask.shape[0]))
                moved = np.roll(mask, tuple(rng.integers(-reach, reach + 1, 2)), (0, 1))
                if rng.random() < 0.3:
                    moved[: int(rng.integers(moved.shape[0]))] = False
                rles.append(encode(moved))
                kinds.append(kind if rng.random() < 0.9 else rng.integers(len(dataset.class_names)))
        scores = rng.random(len(rles)).astype(np.float32)
        yield index, Prediction(tuple(rles), np.array(kinds, np.int64), scores)


def pycocotools_figures(
    dataset: Dataset, predictions: list[tuple[int, Prediction]]
) -> dict[str, float | None]:
    ids = np.asarray(dataset.category_ids)
    truth = COCO()
    truth.dataset = dataset.to_coco()
    truth.createIndex()
    found = truth.loadRes(
        [
            {
                "image_id": int(dataset.image_ids[index]),
                "category_id": int(ids[kind]),
                "segmentation": rle,
                "score": float(score),
            }
            for index, prediction in predictions
            for rle, kind, score in zip(*prediction, strict=True)
        ]
    )
    judge = COCOeval(truth, found, "segm")
    judge.params.areaRng = evaluate.area_ranges(dataset.size_bounds)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return {
        name: None if value < 0 else 100 * value
        for name, value in zip(TWELVE, judge.stats[:9], strict=True)
    }


def assert_same(ours: dict[str, Any], theirs: dict[str, float | None]) -> None:
    for name in TWELVE:
        if theirs[name] is None:
            assert ours[name] is None, name
        else:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-6), name


def test_ground_truth_as_detections_is_perfect(dataset: Dataset) -> None:
    """Masks scored against themselves: AP 100 in every size that occurs."""
    metrics = evaluate.coco_metrics(dataset, perfect(dataset))
    assert metrics["AP"] == metrics["AP50"] == metrics["AP75"] == 100
    assert {metrics[f"AP_{size}"] for size in "SML"} <= {100, None}
    assert metrics["images"] == 12
    assert metrics["instances"] == len(dataset.columns.annotation_ids)


def test_nothing_found_is_zero(dataset: Dataset) -> None:
    """No detections at all: AP 0, not an error, also when images are left out."""
    assert evaluate.coco_metrics(dataset, [])["AP"] == 0


def test_images_left_out_count_as_missed(dataset: Dataset) -> None:
    """Predicting half of the images cannot be perfect."""
    half = [pair for pair in perfect(dataset) if pair[0] % 2]
    assert 0 < evaluate.coco_metrics(dataset, half)["AR100"] < 100


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_pycocotools(dataset: Dataset, seed: int) -> None:
    """All figures equal pycocotools' to 1e-6, with the data set's own size bounds."""
    predictions = list(perturbed(dataset, seed))
    ours = evaluate.coco_metrics(dataset, predictions)
    theirs = pycocotools_figures(dataset, predictions)
    assert 0 < ours["AP"] < 100
    assert None not in (theirs["AP_M"], theirs["AP_L"])
    assert_same(ours, theirs)


def test_size_bounds_are_the_data_sets_own(dataset: Dataset) -> None:
    """With other bounds the same masks fall into other sizes."""
    predictions = list(perturbed(dataset))
    header = dataset.header._replace(size_bounds=SizeBounds(5_000.0, 6_000.0))
    other = Dataset("toy", "val", header, dataset.columns, dataset.picture_folder)
    metrics = evaluate.coco_metrics(other, predictions)
    assert metrics["AP_M"] is None
    assert metrics["AP_L"] is None
    assert metrics["AP_S"] == pytest.approx(metrics["AP"])


@pytest.mark.skipif(not PHOTOS.exists(), reason="no COCO photos beside the checkout")
@pytest.mark.parametrize("split", ["train", "val"])
def test_real_annotations_give_pycocotools_figures(split: str) -> None:
    """COCO photos' polygons and crowds, masks perturbed: pycocotools' figures to 1e-6."""
    photos = open_dataset(PHOTOS, split)
    photos = photos.take(np.arange(min(len(photos), 20)))
    predictions = list(perturbed(photos, seed=1))
    ours = evaluate.coco_metrics(photos, predictions)
    assert 1 < ours["AP"] < 95
    assert_same(ours, pycocotools_figures(photos, predictions))


def test_per_class_figures_average_to_the_whole(dataset: Dataset) -> None:
    """AP is the mean of the classes' own."""
    metrics = evaluate.coco_metrics(dataset, perturbed(dataset))
    known = [value for value in metrics["per_class"].values() if value is not None]
    assert set(metrics["per_class"]) == set(dataset.class_names)
    assert np.mean(known) == pytest.approx(metrics["AP"])


def test_metrics_file_is_plain_json(dataset: Dataset, tmp_path: Path) -> None:
    """The artefact is one JSON object; what could not be measured is null."""
    write_figures(tmp_path / evaluate.METRICS, evaluate.coco_metrics(dataset, perfect(dataset)))
    read = json.loads((tmp_path / evaluate.METRICS).read_text())
    assert set(TWELVE) <= set(read)


def test_pictures_are_read_within_a_bound(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large pictures are, a few are in memory at once, and predictions stay the same."""
    from student_world import NAMES, make_backbone, tiny_values

    from omnicost.models.students import student as interface
    from omnicost.pipeline.student.config import StudentConfig
    from omnicost.pipeline.student.train import build_student

    config = StudentConfig.model_validate(tiny_values())
    student = build_student(config, NAMES, make_backbone(tmp_path / "backbone"), seed=0)
    interface.save(tmp_path / "student.safetensors", student)

    def predicted() -> list[Prediction]:
        found = evaluate.predict(dataset, tmp_path / "student.safetensors", "cpu", silent)
        return [prediction for _, prediction in found]

    whole = predicted()
    read: list[int] = []
    together: list[tuple[int, int]] = []
    image, draw = Dataset.image, type(student).draw
    monkeypatch.setattr(Dataset, "image", lambda self, i: (read.append(i), image(self, i))[1])
    monkeypatch.setattr(
        type(student),
        "draw",
        lambda self, some: (together.append((len(some), len(read))), draw(self, some))[1],
    )
    monkeypatch.setattr(evaluate, "PIXELS_AT_ONCE", 64 * 64 * 2)  # two pictures
    assert [p.rles for p in predicted()] == [p.rles for p in whole]
    assert {count for count, _ in together} == {2}
    monkeypatch.setattr(evaluate, "PIXELS_AT_ONCE", 64 * 64 - 1)  # not even one
    read.clear()
    together.clear()
    assert [p.rles for p in predicted()] == [p.rles for p in whole]
    assert together == [(1, number) for number in range(1, len(dataset) + 1)]


def test_masks_of_a_large_picture_are_made_a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on their pixels changes neither codes nor certainty."""
    logits = torch.randn(7, 16, 16, generator=torch.Generator().manual_seed(0))
    inner = resize.Inner((64, 64), (60, 48))
    whole = mask2former.draw_masks(logits, inner, (120, 96))
    sizes: list[int] = []
    upsample = mask2former.upsample
    monkeypatch.setattr(mask2former, "MASK_PIXELS_AT_ONCE", 2 * 120 * 96)

    def watched(part: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(part))
        return upsample(part, *rest)

    monkeypatch.setattr(mask2former, "upsample", watched)
    parts, certainty = mask2former.draw_masks(logits, inner, (120, 96))
    assert sizes == [2, 2, 2, 1]
    assert [rle for part in parts for rle in part] == masks.encode(torch.cat(whole[0]))
    torch.testing.assert_close(certainty, whole[1])
