"""The pipeline at full size: released architectures, random weights, two photos, on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_size_models import MILLIONS
from PIL import Image, ImageDraw
from places import DRIVERS, REAL
from pycocotools import mask as mask_api

LIMIT_GB = 12
CAPTIONS_OF_ALL = 3  # that 80 classes take, spelt in the tiny vocabulary, at 256 tokens each
PHOTOS = (332, 443)  # of COCO's train2017: seven and six objects, a person among them
DRIVER = DRIVERS / "full_size_driver.py"


def drawn_coco(root: Path) -> Path:
    """Two synthetic pictures under the ids of the photos, polygons, in COCO's layout."""
    rng = np.random.default_rng(0)
    names = ("person", "dog", "dining table")
    content: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7 * n + 1, "name": name} for n, name in enumerate(names)],
    }
    folder = root / "train2017"
    folder.mkdir(parents=True)
    for image_id in PHOTOS:
        picture = Image.fromarray(rng.integers(60, 120, (480, 640, 3), np.uint8))
        for place in range(5):
            x, y = 40 + 120 * place, int(rng.integers(60, 300))
            outline = [x, y, x + 90, y + 20, x + 70, y + 140, x + 10, y + 100]
            ImageDraw.Draw(picture).polygon(outline, fill=(40 * place, 200, 255 - 40 * place))
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 7 * (place % 3) + 1,
                    "segmentation": [outline],
                    "bbox": [x, y, 90, 140],
                    "area": 7700,
                    "iscrowd": 0,
                }
            )
        name = f"{image_id:012d}.jpg"
        picture.save(folder / name)
        content["images"].append({"id": image_id, "file_name": name, "height": 480, "width": 640})
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return root


def data_folder(tmp_path: Path) -> Path:
    """The real photos where they are, drawn ones elsewhere."""
    photos = REAL / "coco"
    names = [photos / "train2017" / f"{image_id:012d}.jpg" for image_id in PHOTOS]
    return photos if all(map(Path.exists, names)) else drawn_coco(tmp_path / "coco")


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux counts it"
)
def test_two_photos_go_through_every_stage(tmp_path: Path) -> None:
    """SAM ViT-B, GroundingDINO-T, CLIP ViT-B/32, Mask2Former R50: whole artefacts under 12 GB.

    Training is two steps each; crops, pictures, points and queries are the released recipes'.
    """
    root = tmp_path / "run"
    command = [sys.executable, str(DRIVER), str(root), str(data_folder(tmp_path))]
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
    done = subprocess.run(
        [*command, *map(str, PHOTOS)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(figures, indent=1))
    assert figures["millions"] == pytest.approx(MILLIONS, rel=0.005)
    peak = max(stage["peak_gb"] for stage in figures["stages"].values())
    assert peak < LIMIT_GB, figures["stages"]
    check_embeddings(root / "embed")
    for mode, captions in (("all", CAPTIONS_OF_ALL), ("present", 1)):
        check_detections(root / f"detect-{mode}", captions)
    for kind in ("point-class", "point_box-class", "box-class"):
        check_teacher(root / f"teacher-{kind}")
    for annotation in ("point", "class"):
        check_pseudomasks(root / f"pseudomask-{annotation}", annotation)
    check_student(root / "student")
    check_metrics(root)


def check_embeddings(folder: Path) -> None:
    """Both pictures, a row each of 256 channels on a grid of 64 x 64, not all alike."""
    shard = np.load(folder / "shard-00000.npy", allow_pickle=False)
    assert shard.shape == (2, 256 * 64 * 64)
    assert shard.dtype == np.float16
    assert np.isfinite(shard).all()
    assert np.abs(shard[0].astype(np.float32) - shard[1]).max() > 0
    assert len(json.loads((folder / "index.json").read_text())["images"]) == 2


def check_detections(folder: Path, captions: int) -> None:
    """900 queries a picture and caption with a class and a score each, boxes on the picture."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "detections.parquet").to_pandas()
    assert set(table.image_id) == set(PHOTOS)
    assert 0 < len(table) <= 2 * 900 * captions
    assert table.score.between(0, 1).all()
    boxes = np.stack(table.box.to_numpy())
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 640


def check_teacher(folder: Path) -> None:
    """Two logged steps with finite losses; the class branch has left zero."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "teacher.safetensors")
    assert all(bool(value.isfinite().all()) for value in tensors.values())
    assert tensors["class_branch.zero.weight"].shape == (256, 256)
    assert tensors["class_branch.text_projection.weight"].shape == (256, 512)
    assert float(tensors["class_branch.zero.weight"].abs().max()) > 0
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert all(np.isfinite(line["loss"]) for line in log)


def check_pseudomasks(folder: Path, annotation: str) -> None:
    """Masks at the picture's size on the weakly labelled picture only."""
    from omnicost.pipeline.pseudomask import generate as pseudomask

    table = pseudomask.read(folder).to_pandas()
    assert len(table) > 0
    assert set(table.image_id) == {PHOTOS[1]}
    assert set(table.source) == {annotation}
    assert (table.annotation_id >= 0).all() == (annotation == "point")
    for row in table.itertuples():
        mask = mask_api.decode({"size": [row.height, row.width], "counts": row.rle})
        assert mask.shape == (row.height, row.width)
        assert mask.any()
        assert 0 <= row.score <= 1


def check_student(folder: Path) -> None:
    """44 million finite weights that load as a student; two logged steps."""
    from omnicost.models.students import student as interface

    student = interface.load(folder / "student.safetensors")
    weights = list(student.parameters())
    assert sum(part.numel() for part in weights) / 1e6 == pytest.approx(44, abs=0.5)
    assert all(bool(part.isfinite().all()) for part in weights)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert all(np.isfinite(line["loss"]) for line in log)


def check_metrics(root: Path) -> None:
    """AP of the student and the quality of the pseudo-masks, in percent."""
    metrics = json.loads((root / "evaluate" / "metrics.json").read_text())
    assert metrics["images"] == 2
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 100
    quality = json.loads((root / "quality" / "metrics.json").read_text())
    assert 0 <= quality["point"]["mIoU"] <= 100
