import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from student_world import NAMES, encode, make_dataset

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, Instances
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import MaskRow, to_table
from omnicost.pipeline.quality import mask_quality
from omnicost.pipeline.quality.mask_quality import Found
from omnicost.pipeline.student import data as student_data

MASK = AnnotationType.MASK.strength


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("toy"), images=8, seed=5)


def rows_of(
    dataset: Dataset, index: int, source: str, change: Any = lambda mask: mask
) -> list[MaskRow]:
    truth = dataset.instances(index)
    named = source in ("point", "box")
    return [
        MaskRow(
            int(dataset.image_ids[index]),
            int(name) if named else -1,
            int(kind),
            0.9 - 0.1 * place,
            source,
            box.tolist(),
            encode(change(mask))["counts"],
            *truth.size,
        )
        for place, (name, kind, box, mask) in enumerate(
            zip(truth.annotation_ids, truth.class_indices, truth.boxes, truth.masks(), strict=True)
        )
    ]


def write(folder: Path, rows: list[MaskRow]) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(to_table(rows), folder / pseudomask.MASKS)
    return folder


def half(mask: np.ndarray) -> np.ndarray:
    """Its upper half, by area."""
    rows = np.cumsum(mask.sum(1)) <= mask.sum() / 2
    return mask & rows[:, None]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("kind", ["point", "box"])
def test_mean_iou_per_instance(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    """The mean over instances, not images; halved masks count their IoU, missing ones 0."""
    strengths = np.full(8, AnnotationType(kind).strength)
    rows = rows_of(dataset, 0, kind) + rows_of(dataset, 1, kind, half)
    figures = mask_quality.quality(dataset, strengths, [write(tmp_path / "masks", rows)])[kind]
    exact = len(dataset.instances(0).rles)
    halves = [iou(half(mask), mask) for mask in dataset.instances(1).masks()]
    instances = len(dataset.columns.annotation_ids)
    assert figures["instances"] == instances
    assert figures["mIoU"] == pytest.approx(100 * (exact + sum(halves)) / instances)
    assert set(figures["mIoU_per_class"]) == set(NAMES)


def test_sizes_split_the_instances(dataset: Dataset, tmp_path: Path) -> None:
    """Small, medium and large are the data set's; none of a size gives None."""
    rows = [row for index in range(8) for row in rows_of(dataset, index, "box")]
    strengths = np.full(8, AnnotationType.BOX.strength)
    figures = mask_quality.quality(dataset, strengths, [write(tmp_path / "m", rows)])["box"]
    assert (dataset.columns.areas > 100).all()
    assert (figures["mIoU"], figures["mIoU_S"], figures["mIoU_L"]) == (100, None, 100)


def test_precision_and_recall(dataset: Dataset, tmp_path: Path) -> None:
    """A mask found twice, one of the wrong class and one missed, counted by hand."""
    truth = dataset.instances(0)
    doubled = rows_of(dataset, 0, "class") + rows_of(dataset, 0, "class")[:1]
    wrong = rows_of(dataset, 1, "class")[0]
    wrong = wrong._replace(class_index=(wrong.class_index + 1) % 3)
    strengths = np.array([1, 1, *([MASK] * 6)])
    masks = write(tmp_path / "m", [*doubled, wrong])
    figures = mask_quality.quality(dataset, strengths, [masks])["class"]
    found, wanted = len(truth.rles), len(truth.rles) + len(dataset.instances(1).rles)
    assert figures["masks"] == found + 2
    assert figures["precision50"] == pytest.approx(100 * found / (found + 2))
    assert figures["recall50"] == pytest.approx(100 * found / wanted)
    assert figures["hits"] == found
    assert figures["f1_50"] == pytest.approx(100 * 2 * found / (found + 2 + wanted))
    assert "point" not in figures


@pytest.mark.parametrize("kind", ["none", "class", "point", "box"])
def test_f1_treats_all_types_alike(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    """The same masks have the same F1 whatever they were drawn from; none at all have 0."""
    strengths = np.full(8, AnnotationType(kind).strength)
    rows = rows_of(dataset, 0, kind) + rows_of(dataset, 1, kind, half)
    figures = mask_quality.quality(dataset, strengths, [write(tmp_path / "m", rows)])[kind]
    sure, halves = len(dataset.instances(0).rles), dataset.instances(1).masks()
    hits = sure + sum(iou(half(mask), mask) >= 0.5 for mask in halves)
    assert figures["hits"] == hits
    counted = sure + len(halves) + len(dataset.columns.annotation_ids)
    assert figures["f1_50"] == pytest.approx(200 * hits / counted)
    nothing = mask_quality.quality(dataset, strengths, [write(tmp_path / "none", [])])[kind]
    assert (nothing["f1_50"], nothing["precision50"]) == (0, None)


def test_masks_on_crowds_do_not_count(dataset: Dataset) -> None:
    """A mask mostly on a crowd of its class is neither hit nor miss; the crowd is not missed."""
    truth = dataset.instances(0)
    crowded = truth._replace(is_crowd=np.ones(len(truth.rles), bool))
    found = Found(
        np.full(len(truth.rles), -1), truth.class_indices, truth.rles, np.ones(len(truth.rles))
    )
    verdicts, hit = mask_quality.match_detections(found, crowded)
    assert set(verdicts.tolist()) == {-1}
    assert not hit.any()


def strip(left: int, right: int) -> dict[str, Any]:
    """Columns of a picture of 10 x 20 pixels."""
    mask = np.zeros((10, 20), bool)
    mask[:, left:right] = True
    return encode(mask)


def test_crowds_beside_instances() -> None:
    """A mask on a crowd of its class is left out; on one of another class it is a miss.

    Columns 0-8 are a crowd of class 0, 8-12 an instance of class 0, 12-16 one of class 1. The
    masks: inside the crowd; the first instance; half crowd, half instance; on the crowd but of
    class 1; a miss.
    """
    truth = Instances(
        annotation_ids=np.array([7, 8, 9]),
        class_indices=np.array([0, 0, 1]),
        boxes=np.zeros((3, 4), np.float32),
        areas=np.array([80.0, 40.0, 40.0]),
        is_crowd=np.array([True, False, False]),
        rles=(strip(0, 8), strip(8, 12), strip(12, 16)),
        size=(10, 20),
    )
    rles = (strip(0, 4), strip(8, 12), strip(5, 11), strip(0, 8), strip(16, 20))
    found = Found(np.full(5, -1), np.array([0, 0, 0, 1, 0]), rles, np.ones(5))
    verdicts, hit = mask_quality.match_detections(found, truth)
    assert verdicts.tolist() == [-1, 1, -1, 0, 0]
    assert hit.tolist() == [False, True, False]


def test_crowds_are_no_instances_to_find(dataset: Dataset, tmp_path: Path) -> None:
    """Mean IoU and recall are over instances: what is a crowd lowers neither."""
    truth = dataset.instances(0)
    crowded = truth._replace(is_crowd=np.arange(len(truth.rles)) == 0)
    found = Found(
        truth.annotation_ids[1:],
        truth.class_indices[1:],
        truth.rles[1:],
        np.ones(len(truth.rles) - 1),
    )
    tallies = mask_quality._Tallies()
    tallies.count(found, crowded)
    assert tallies.ious.values.mean() == 1
    figures = tallies.detection_figures(dataset)
    assert (figures["instances"], figures["recall50"]) == (len(truth.rles) - 1, 100)


def test_best_score_takes_the_instance(dataset: Dataset, tmp_path: Path) -> None:
    """Of two masks on one instance the better scored is the hit, whatever their order on disk."""
    row = rows_of(dataset, 0, "none")[0]
    loose = row._replace(score=0.95)
    masks = write(tmp_path / "m", [row, loose])
    found = mask_quality.Table(dataset, masks).found(0, "none")
    assert len(found.rles) == 2
    verdicts, _ = mask_quality.match_detections(found, dataset.instances(0))
    assert verdicts.tolist() == [1, 0]


def test_files_are_read_in_parts(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group of rows once where images are in order; any other order is found too."""
    rows = [row for index in range(8) for row in rows_of(dataset, index, "box", half)]
    mixed = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    strengths, read = np.full(8, AnnotationType.BOX.strength), mask_quality.Table._read_group
    expected = mask_quality.quality(dataset, strengths, [write(tmp_path / "whole", rows)])
    groups: list[int] = []
    monkeypatch.setattr(
        mask_quality.Table, "_read_group", lambda self, n: (groups.append(n), read(self, n))[1]
    )
    for name, order in (("ordered", rows), ("mixed", mixed)):
        masks = write(tmp_path / name, [])
        pq.write_table(to_table(order), masks / pseudomask.MASKS, row_group_size=3)
        groups.clear()
        assert mask_quality.quality(dataset, strengths, [masks]) == expected
        assert name == "mixed" or groups == list(range(-(-len(rows) // 3)))


def test_run_writes_metrics(dataset: Dataset, tmp_path: Path) -> None:
    """The artefact is `metrics.json`, figures by annotation type; real masks are left out."""
    masks = write(tmp_path / "m", rows_of(dataset, 0, "point") + rows_of(dataset, 1, "human"))
    mask_quality.run(dataset, np.array([2, *([MASK] * 7)]), [masks], out=tmp_path)
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert list(read) == ["point"]
    assert read["point"]["mIoU"] == 100


def test_student_reads_the_same_table(dataset: Dataset, tmp_path: Path) -> None:
    """The student's labels come out of the pseudo-mask table in order of image, by score."""
    rows = rows_of(dataset, 4, "box") + rows_of(dataset, 0, "box")
    one, other = write(tmp_path / "a", rows), write(tmp_path / "b", rows_of(dataset, 2, "box"))
    pseudo = student_data.read_pseudo_labels([one, other])
    ids = dataset.image_ids
    counts = [len(dataset.instances(index).rles) for index in (0, 2, 4)]
    assert pseudo.image_ids.tolist() == np.repeat([ids[0], ids[2], ids[4]], counts).tolist()
    codes = [student_data._bytes(code) for code in pseudo.counts[: counts[0]]]
    assert codes == [rle["counts"] for rle in dataset.instances(0).rles]
    strict = student_data.read_pseudo_labels([one, other], min_score=0.85)
    assert (strict.scores >= 0.85).all()
    assert 0 < len(strict.scores) < len(pseudo.scores)
