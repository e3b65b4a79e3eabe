"""Every command and every snippet of the documentation runs."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import RECORDED, ROOT
from typer.testing import CliRunner

from omnicost.annotation import Policy
from omnicost.cli import app
from omnicost.cost import BUILT_IN, seconds_per_image
from omnicost.results import Row, TeacherRow, append_row

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What trains, draws much or needs data that is not here: the options are read, nothing is run.
EXPENSIVE = {
    "sweep", "store", "export", "train", "predict", "review",
    "data make", "data import", "plot masks",
}  # fmt: skip
CHEAP_SWEEPS = ("--list", "--schema", "--forecast")
# In the README, names that stand for the reader's own.
STANDING_FOR = {
    "photos/": "photos", "path/to/set": "own.json", "pilot.json": "own.json",
    "instances.json": "own.json", "label_studio_export.json": "export.json",
    "results/demo.jsonl": "tiny.jsonl",
    "pilot/labelled/instances.json": "own.json", "pilot/manifest.csv": "out/manifest.csv",
    "results/pilot.teacher.jsonl": "pilot.teacher.jsonl",
}  # fmt: skip


def fenced(path: Path, *languages: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.S | re.M)
    return [text for language, text in blocks if language in languages]


def commands(path: Path) -> list[str]:
    lines = "".join(fenced(path, "sh", "")).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("omnicost ")]


ALL = [(path.name, line) for path in PAGES if path.name != "cli.md" for line in commands(path)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the documentation names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for index in range(100):
        Image.new("RGB", (64, 48), (2 * index, 90, 60)).save(f"photos/{index}.jpg")
    _write_teachers(Path("pilot.teacher.jsonl"))
    _write_coco(Path("own.json"))
    _write_labelled(Path("labelled"))
    _write_logs()
    for name, dataset in [("rows.jsonl", "own"), ("tiny.jsonl", "tiny-coco")]:
        _write_rows(Path(name), dataset)
    Path("mine.yaml").write_text(fenced(ROOT / "docs" / "data.md", "yaml")[0])
    return tmp_path


def _write_coco(path: Path) -> None:
    square = [[1, 1, 9, 1, 9, 9, 1, 9]]
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": f"photos/{i}.jpg", "width": 64, "height": 48}
                    for i in range(6)
                ],
                "annotations": [
                    {"id": i, "image_id": i // 2, "category_id": 1 + i % 2, "bbox": [1, 1, 8, 8],
                     "area": 64, "iscrowd": 0, "segmentation": square}
                    for i in range(10)
                ],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            }
        )
    )  # fmt: skip


def _write_labelled(folder: Path) -> None:
    """Boxes on some photos, as import writes them, and what a review said of them."""
    (folder / "images").mkdir(parents=True)
    for index in range(6):
        shutil.copyfile(f"photos/{index}.jpg", folder / "images" / f"{index}.jpg")
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48, "omnicost_type": "box"}
        for i in range(6)
    ]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 8, 8]} for i in range(6)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    Path("tasks").mkdir()
    Path("tasks/review.csv").write_text("rank,file_name\n1,3.jpg\n2,0.jpg\n")


def _write_logs() -> None:
    rng = np.random.default_rng(0)
    seconds = rng.lognormal(2, 0.4, 60).round(2)
    Path("timings.csv").write_text(
        "seconds,type,annotator\n"
        + "".join(f"{one},box,{'abcd'[i % 4]}\n" for i, one in enumerate(seconds))
    )
    export = (RECORDED / "label_studio_box.json").read_text()
    Path("export.json").write_text(export)
    Path("times.yaml").write_text(
        "# written by omnicost\nbox: 8\noverheads: {mask: {review: 0.3, known: [review]}}\n"
    )
    Path("out").mkdir()
    Path("out/manifest.csv").write_text(
        "image_id,file_name,annotation_type\n" + "".join(f"{i + 1},{i}.jpg,box\n" for i in range(6))
    )


def _write_teachers(path: Path) -> None:
    rows = [
        TeacherRow(
            dataset="pilot", policy={weak: 1 - share, "mask": share}, seed=0, variant="default",
            config_hash="", annotation=weak, f1=f1, images=80,
        )
        for weak, f1 in [("none", 60), ("class", 65), ("point", 80), ("box", 90)]
        for share in (0.0, 0.5)
    ]  # fmt: skip
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in rows))


def _write_rows(path: Path, dataset: str) -> None:
    stats = BUILT_IN["coco"]
    for seed in (0, 1):
        for weak, share, ap in [
            ("none", 0, 24),
            ("none", 0.1, 33),
            ("class", 0, 30),
            ("point", 0, 31),
            ("box", 0, 36),
            ("box", 0.1, 41),
            ("class", 0.1, 38),
            ("point", 0.1, 39),
            ("mask", 1, 45),
        ]:
            policy = Policy.cell(weak, share)
            append_row(path, Row(
                dataset=dataset, policy=policy, variant="r", seed=seed, ap=ap + 0.2 * seed,
                images=500, masks=round(500 * share), hours=1.0,
                seconds_per_image=seconds_per_image(policy, stats),
            ))  # fmt: skip


def runnable(line: str) -> list[str]:
    """The command's words, for the expensive ones as far as they can be had for nothing."""
    words = [STANDING_FOR.get(word, word) for word in shlex.split(line)[1:]]
    verb = " ".join(words[:2]) if words[0] in {"data", "plot"} else words[0]
    if verb not in EXPENSIVE or any(word in words for word in CHEAP_SWEEPS):
        return words
    return [*words, "--help"]


@pytest.mark.parametrize(("page", "line"), ALL, ids=[f"{page}: {line}" for page, line in ALL])
def test_commands_run(page: str, line: str, project: Path) -> None:
    """As they stand, in a folder that has what they name; those that train with --help."""
    words = runnable(line)
    if "--manifest" in words:
        (project / "out" / "manifest.csv").unlink()
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    lacks_weights = "--dry-run" in words and "missing: " in done.output
    assert done.exit_code == 0 or lacks_weights, done.output


def test_python_snippets_run(project: Path) -> None:
    """One after the other in one session, as a reader would."""
    (project / "out" / "manifest.csv").unlink()
    session: dict[str, object] = {}
    for snippet in fenced(ROOT / "docs" / "python.md", "python"):
        exec(compile(snippet, "docs/python.md", "exec"), session)
    assert (project / "plan.html").exists()
    assert (project / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert (project / "out" / "HOW_TO_IMPORT.txt").exists()
