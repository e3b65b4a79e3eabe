"""The analysis keeps up with the package, and is right about what it finds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from analysis import decide_rows, f1_law, variants
from analysis.__main__ import PARTS, report, rows_line
from analysis.figures.examples import load_examples, save_examples
from analysis.figures.gallery import GALLERIES
from analysis.planner import pilot_regret
from analysis.recorded import (
    PAPER_SETS,
    TINY_SETS,
    Results,
    grid_rows,
)
from analysis.tables import in_readme, noise, table2, tuning
from omnicost.annotation import Policy
from omnicost.errors import InputError
from omnicost.plot.masks import Drawn, MaskExample
from omnicost.results import Row, append_row, paper_rows, read_rows

SCRIPTS = sorted((ROOT / "analysis").rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every script can be imported, says what it claims, and has something to run or to make."""
    monkeypatch.syspath_prepend(str(path.parent))  # benchmarks import each other by name
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert module.__doc__
    shared = ("__init__", "bench_world", "recorded", "examples")
    assert hasattr(module, "main") or hasattr(module, "make") or path.stem in shared


def world(name: str, paper: str, scale: float, seeds: int, noise: float) -> list[Row]:
    """A tiny data set whose cells are the paper's, scaled, with a spread over seeds."""
    draw = np.random.default_rng(len(name))
    rows = []
    for row in paper_rows(paper):
        kind = row.policy.weak_types
        f1 = {"none": 40, "class": 55, "point": 70, "box": 90}[str(kind[0])] if kind else None
        for seed in range(seeds):
            values = {
                "dataset": name,
                "variant": "default",
                "schedule": "tiny",
                "seed": seed,
                "ap": scale * row.ap + noise * draw.standard_normal(),
                "teacher_f1": f1,
            }
            rows.append(row.model_copy(update=values))
    return rows


def test_faults_are_held_against_perfect_labels(tmp_path: Path) -> None:
    """A fault that costs 3 AP is shown to; without the perfect cells there is no difference."""
    results = results_of(tmp_path / "results", scale=1.0, seeds=3, noise=0.0)
    perfect = [r for r in results.students("tiny-coco") if str(r.policy) in ("point=1", "box=1")]
    for row in perfect:
        faulty = row.model_copy(update={"variant": "missed 10%", "ap": row.ap - 3})
        append_row(results.folder / "tiny" / "tiny-noise.jsonl", faulty)
    assert noise.make(results, tmp_path).body.count("-3.0 (-3.0 to -3.0)") == 2
    (results.folder / "tiny" / "tiny-coco.jsonl").unlink()
    assert "-3.0" not in noise.make(results, tmp_path).body


def test_the_least_gain_of_tuning_is_named(tmp_path: Path) -> None:
    """A line a setting over its seeds; the worst teacher of all is in the note."""
    (tmp_path / "tiny").mkdir()
    row = tuning.Row(
        dataset="tiny-coco", mask_share=0.01, kind="box/plain", seed=0, instances=9, released=60.0,
        tuned=61.0, kept="tuned", released_correlation=0.8, tuned_correlation=0.7,
        difference_error=0.1, cpu_seconds=1.0, made_of="x",
    )  # fmt: skip
    worse = row.model_copy(update={"seed": 1, "tuned": 59.0})
    lines = [each.model_dump_json() + "\n" for each in (row, worse)]
    (tmp_path / "tiny" / "tuned_teachers.jsonl").write_text("".join(lines))
    body = tuning.make(Results(tmp_path), tmp_path).body
    assert "gained is -1.0 (tiny-coco, 1% masks, box/plain, seed 1)" in body
    assert "| tiny-coco | 1% | box/plain | 60.0 | 60.0 | +0.00 | 1.41 | -1.00 |" in body
    assert "No rows yet" in tuning.make(Results(tmp_path / "else"), tmp_path).body


def results_of(folder: Path, **settings: Any) -> Results:
    (folder / "tiny").mkdir(parents=True)
    for tiny, paper in zip(TINY_SETS, PAPER_SETS, strict=True):
        for row in world(tiny, paper, **settings):
            append_row(folder / "tiny" / f"{tiny}.jsonl", row)
    return Results(folder)


def test_everything_is_made_from_recorded_rows(tmp_path: Path) -> None:
    """The command writes its README, its tables and its figures; every link in it leads to one."""
    results_of(tmp_path / "results", scale=0.7, seeds=3, noise=0.3)
    command = ["-m", "analysis", "--out", str(tmp_path), "--results", str(tmp_path / "results")]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, timeout=300)
    text = (tmp_path / "README.md").read_text()
    for name in ("claims", "f1_law", "table1", "table2", "table3", "table4", "table5"):
        assert (tmp_path / "report" / f"{name}.csv").stat().st_size
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(links) == 4
    assert all((tmp_path / link).stat().st_size for link in links)
    assert text.count("\n## ") == len(PARTS)


def test_it_is_made_without_the_sweeps_packages() -> None:
    """A base install suffices: neither torch nor anything of the sweep's layer is loaded."""
    code = (
        "import analysis.__main__, sys; print({'torch', 'ray', 'pycocotools'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


def test_the_readme_s_table_is_of_the_committed_rows() -> None:
    """Rows that are added ask for `python -m analysis.tables.in_readme`; no figure is typed in."""
    readme = in_readme.README.read_text()
    assert in_readme.put(readme, in_readme.section(Results())) == readme


def test_the_readme_shows_only_what_was_measured(tmp_path: Path) -> None:
    """Cards without rows and policies that no card has are left out; every card has its command."""
    results = results_of(tmp_path / "results", scale=1.0, seeds=3, noise=0.0)
    assert in_readme.section(Results(tmp_path)) == ""
    text = in_readme.section(results)
    assert text.count("(3 seeds)") == 3
    assert "demo" not in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 13
    (results.folder / "tiny" / "tiny-coco.jsonl").unlink()
    assert "`omnicost sweep tiny-coco`" not in in_readme.section(results)
    with pytest.raises(InputError, match="no place for the tiny table"):
        in_readme.put("# README", text)


def test_the_committed_report_is_of_the_committed_rows() -> None:
    """Rows that are added ask for `python -m analysis --out analysis`."""
    assert rows_line(Results()) in (ROOT / "analysis" / "README.md").read_text()


def test_nothing_recorded_is_said_so(tmp_path: Path) -> None:
    """Without a row there is a report all the same, with the paper's side only."""
    text = report(Results(tmp_path), tmp_path)
    assert "Rows: none." in text
    assert "**holds**" not in text
    assert "No tiny data set has its rows yet." in text


def test_table2_is_the_papers_form(tmp_path: Path) -> None:
    """13 rows in its order; a cell shows mean, spread and share of full supervision."""
    results = results_of(tmp_path / "results", scale=1.0, seeds=2, noise=0.0)
    section = table2.make(results, tmp_path)
    lines = (tmp_path / "table2.csv").read_text().splitlines()
    assert len(lines) == 1 + 13
    assert lines[1].startswith("0%,none,35.1 (81%),35.1 ± 0.0 (81%)")
    assert "| 100% | - | 43.5 | 43.5 ± 0.0 |" in section.body
    assert [line.split(",")[:2] for line in lines[1:13]] == [
        [f"{share:.0%}", kind] for kind, share in grid_rows()
    ]


def test_a_recorded_pilot_plans_about_as_well_as_all_students() -> None:
    """A hundred masks and a teacher: within 0.5 AP of all students, better than the rule."""
    pilots = pilot_regret.pilots_of(pilot_regret.TINY)
    students = read_rows(pilot_regret.students_of(pilot_regret.TINY))
    assert pilots
    for by_way in pilot_regret.regrets(students, pilots).values():
        assert all(value >= -1e-9 for value in by_way.values())
        for name in pilots:
            assert by_way[name] < min(by_way["all students"] + 0.5, by_way["the rule"])


def test_real_masks_are_right_labels() -> None:
    """The labels' F1 goes from the pseudo-masks' to 1 with the share of masks."""
    assert f1_law.labels_f1(Policy.cell("box", 0.0), 80) == pytest.approx(0.8)
    assert f1_law.labels_f1(Policy.cell("box", 0.1), 80) == pytest.approx(0.82)


def test_examples_are_kept_whole(tmp_path: Path) -> None:
    """What is saved is loaded: pictures, words, prompts and masks of widths that no byte fits."""
    draw = np.random.default_rng(0)
    truth = Drawn(np.array([3, 5]), np.array([0, 1]), draw.random((2, 6, 11)) > 0.5)
    example = MaskExample(
        "a.png", draw.integers(0, 255, (6, 11, 3), np.uint8), "point", ("cat", "dog"), truth,
        points=np.ones((2, 2), np.float32), label_ids=np.array([3, 5]), after=truth,
    )  # fmt: skip
    save_examples(tmp_path / "e.npz", [example, example])
    again = load_examples(tmp_path / "e.npz")[1]
    assert (again.name, again.annotation, again.class_names, again.tags) == (
        "a.png", "point", ("cat", "dog"), (),
    )  # fmt: skip
    assert (again.before, again.boxes) == (None, None)
    assert again.after is not None
    assert np.array_equal(again.after.masks, truth.masks)
    assert np.array_equal(again.image, example.image)


@pytest.mark.parametrize("gallery", GALLERIES, ids=lambda gallery: f"figure{gallery.number}")
def test_a_gallery_is_drawn_from_its_file(gallery: Any, tmp_path: Path) -> None:
    """With recorded examples there is a picture; without them the report says what is missing."""
    (tmp_path / "tiny").mkdir()
    make = PARTS[f"figure{gallery.number}"]
    assert "No examples yet" in make(Results(tmp_path), tmp_path).body
    masks = np.zeros((1, 16, 16), bool)
    masks[0, 4:9, 4:9] = True
    truth = Drawn(np.array([1]), np.array([0]), masks)
    example = MaskExample("a", np.zeros((16, 16, 3), np.uint8), "box", ("cat",), truth, after=truth)
    save_examples(tmp_path / "tiny" / f"figure{gallery.number}.npz", [example])
    assert "](" in make(Results(tmp_path), tmp_path).body
    assert (tmp_path / f"figure{gallery.number}.png").stat().st_size


def test_campaigns_on_recorded_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With students that do not scatter all cells leave hardly a regret, deciding takes fewer, and
    a trunk costs what it says. Ways whose cards were not run are left out."""
    monkeypatch.setattr(decide_rows, "HALVES", 2)
    rows = world("tiny-coco", "coco", 0.6, seeds=2, noise=0.0)
    short = [row.model_copy(update={"ap": 0.8 * row.ap, "schedule": "tiny-short"}) for row in rows]
    trunk = [
        row.model_copy(update={"variant": "none-0.7", "trunk": "0.7 on none=1"}) for row in rows
    ]
    for row in rows:
        append_row(tmp_path / "tiny-coco.jsonl", row)
    ways = {line["way"]: line for line in decide_rows.summarise(tmp_path, regret=0.15)}
    assert set(ways) == {"all cells", "random half", "fixed design", "decided"}
    assert ways["all cells"]["device_hours"] == 13
    assert ways["all cells"]["true_regret"] < 0.1
    assert ways["decided"]["students"] < 13
    for name, others in (("tiny-short", short), ("tiny-trunk", [*rows[:2], *trunk])):
        for row in others:
            append_row(tmp_path / f"{name}.jsonl", row)
    ways = {line["way"]: line for line in decide_rows.summarise(tmp_path, regret=0.15)}
    assert ways["all cells, trunk none-0.7"]["device_hours"] == pytest.approx(0.7 + 13 * 0.3)
    assert ways["decided, trunk none-0.7, a fifth"]["device_hours"] <= 0.2 * 13
    assert ways["decided, short too"]["students"] > 0
    assert "decided, trunk none-0.7" in ways


def test_future_work_in_the_report(tmp_path: Path) -> None:
    """Rows of a card become its table; a card without rows says so."""
    (tmp_path / "tiny").mkdir()
    for seed in (0, 1):
        for variant, ap in (("random", 20.0), ("value", 21.0 + seed)):
            append_row(
                tmp_path / "tiny" / "tiny-assignment.jsonl",
                Row(
                    dataset="tiny-coco", policy=Policy.cell("box", 0.1), variant=variant,
                    seed=seed, ap=ap, images=800, masks=80, hours=1.0, seconds_per_image=1.0,
                ),
            )  # fmt: skip
    section = variants.make(Results(tmp_path), tmp_path)
    assert "| mask=0.1,box=0.9 | +1.5 (-4.9 to +7.9) **undecided** [2] |" in section.body
    assert "no rows yet." in section.body
