"""Two photos through every stage of the pipeline, in a process whose memory can be measured.

Usage: full_size_driver.py ROOT DATA FIRST SECOND. ROOT gets ``models`` and a folder for each stage;
DATA is a data set with COCO's layout; FIRST (labelled with masks) and SECOND (labelled with points
or tags) are image ids of its training split. The last line printed is a JSON object: parameters of
each model, and seconds and peak GB of each stage.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from full_size_models import save_all

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, open_dataset
from omnicost.pipeline import detect, embed, evaluate
from omnicost.pipeline.config import DetectConfig
from omnicost.pipeline.proposals import DETECTIONS
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.quality import mask_quality
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.student import train as student
from omnicost.pipeline.teacher import train as teacher
from omnicost.progress import silent

PROMPTS = 8  # masks drawn from detections: random weights know no objects, any number would do
# Batches of one picture and few prompts fit a laptop; every other figure is the released one.
RECIPE = Recipe.model_validate(
    {
        "embed": {"batch_images": 1},
        "detect": {"batch_images": 1, "keep_above": 0.0, "threshold": 0.0},
        "refine": {"tau_c": 0.0},
        "teacher": {
            "steps": 2,
            "batch_images": 2,
            "prompts_per_step": 8,
            "log_every": 1,
            "workers": 0,
        },
        "student": {
            "preset": "coco/published",
            "schedule": {"steps": 2, "batch_images": 2},
            "precision": "fp32",
            "micro_batch_images": 1,
            "checkpoint_activations": True,
            "log_every": 1,
        },
    }
)
STRENGTHS = np.array([AnnotationType.MASK.strength, AnnotationType.POINT.strength])


class Measured:
    """Seconds and peak gigabytes of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside, from a new peak on."""
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to what is resident now
        started = time.perf_counter()
        yield
        self.stages[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_gb": round(peak_gb(), 2),
        }
        print(name, self.stages[name], flush=True)


def peak_gb() -> float:
    """Most memory that was resident, since the start or the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e9


class Pipeline:
    """The stages on one small data set, each writing under ``root``."""

    def __init__(self, root: Path, dataset: Dataset, models: dict[str, str]) -> None:
        self.root = root
        self.dataset = dataset
        self.models = models
        self.measured = Measured()

    def folders(self, name: str) -> dict[str, Any]:
        """What every stage is told."""
        places = {"out": self.root / name, "work": self.root / "work" / name}
        for place in places.values():
            place.mkdir(parents=True)
        return {**places, "device": "cpu", "report": silent}

    def run(self) -> None:
        """All stages, one after the other."""
        self.embed()
        self.detect()
        self.teachers()
        self.pseudomasks()
        self.student()
        self.evaluate()

    def embed(self) -> None:
        with self.measured.stage("embed"):
            embed.run(self.dataset, self.models["sam"], RECIPE.embed, **self.folders("embed"))

    def detect(self) -> None:
        for mode in ("all", "present"):
            with self.measured.stage(f"detect-{mode}"):
                detect.run(
                    self.dataset, self.models["detector"], RECIPE.detect, mode=mode,
                    **self.folders(f"detect-{mode}"),
                )  # fmt: skip

    def teachers(self) -> None:
        for kind in RECIPE.teachers(AnnotationType.POINT).values():
            self._teacher(kind)
        self._teacher(RECIPE.teachers(AnnotationType.CLASS)["mask"])

    def _teacher(self, kind: Any) -> None:
        name = f"teacher-{str(kind).replace('/', '-')}"
        with self.measured.stage(name):
            teacher.run(
                self.dataset, self.models["sam"], self.models["text"], RECIPE.teacher, kind=kind,
                labelled=[0], seed=0, embeddings=[self.root / "embed"], **self.folders(name),
            )  # fmt: skip

    def pseudomasks(self) -> None:
        jobs = [
            self._job(AnnotationType.POINT, {"point": "point-class", "mask": "point_box-class"}),
            self._job(AnnotationType.CLASS, {"mask": "box-class"}),
        ]
        with self.measured.stage("pseudomask"):
            places = self.folders("pseudomask")
            del places["out"]  # each job has its own
            pseudomask.run(
                self.dataset, self.models["sam"], self.models["text"], RECIPE.pseudomask, jobs,
                embeddings=[self.root / "embed"], **places,
            )  # fmt: skip

    def _job(self, annotation: AnnotationType, teachers: dict[str, str]) -> pseudomask.Job:
        out = self.root / f"pseudomask-{annotation}"
        out.mkdir()
        detections = self.root / "detect-present"
        return pseudomask.Job(
            annotation, [1], out,
            {role: self.root / f"teacher-{kind}" for role, kind in teachers.items()},
            [detections], self._best(detections), RECIPE.refine,
        )  # fmt: skip

    def _best(self, detections: Path) -> DetectConfig:
        """The threshold that the second picture's best proposals pass."""
        table = pq.read_table(detections / DETECTIONS).to_pandas()
        scores = table.loc[table.image_id == self.dataset.image_ids[1], "score"]
        threshold = float(scores.nlargest(PROMPTS).iloc[-1])
        return RECIPE.detect.model_copy(update={"threshold": threshold})

    def student(self) -> None:
        masks = [self.root / "pseudomask-point"]
        with self.measured.stage("student"):
            student.run(
                self.dataset, STRENGTHS, masks, RECIPE.student, backbone=self.models["backbone"],
                seed=0, **self.folders("student"),
            )  # fmt: skip

    def evaluate(self) -> None:
        with self.measured.stage("evaluate"):
            places = self.folders("evaluate")
            del places["work"]
            weights = self.root / "student" / student.WEIGHTS
            evaluate.run(self.dataset, weights, **places)
        out = self.folders("quality")["out"]
        mask_quality.run(self.dataset, STRENGTHS, [self.root / "pseudomask-point"], out=out)


def main(root: Path, data: Path, image_ids: list[int]) -> None:
    """Build the models, run the stages, print the figures."""
    whole = open_dataset("coco", "train", root=data)
    dataset = whole.take(np.array([whole.index_of(image_id) for image_id in image_ids]))
    names = ("sam", "detector", "text", "backbone")
    pipeline = Pipeline(root, dataset, {name: str(root / "models" / name) for name in names})
    with pipeline.measured.stage("build"):
        millions = save_all(root / "models")
    pipeline.run()
    print(json.dumps({"millions": millions, "stages": pipeline.measured.stages}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(each) for each in sys.argv[3:]])
