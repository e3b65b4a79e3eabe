"""`omnicost sweep` and `omnicost store` at the terminal, without running a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_toys import Toys, toy_planner
from typer.testing import CliRunner

from omnicost.cli import app
from omnicost.cli.shared.door import line_of
from omnicost.cli.store import _remove
from omnicost.engine.execute import execute
from omnicost.engine.graph import build_graph
from omnicost.engine.store import Store
from omnicost.errors import MissingError, OmnicostError
from omnicost.results import TeacherRow, read_teacher_rows
from omnicost.sweep import sources as sources_module
from omnicost.sweep.rows import write_teacher_rows


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={**os.environ, "COLUMNS": "80"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A small filled store in the current folder."""
    monkeypatch.chdir(tmp_path)
    filled = Store(tmp_path / "store")
    toys = Toys()
    for stage in build_graph(toys.targets(), toy_planner(toys)).stages.values():
        execute(filled, stage)
    return filled


def test_schema_and_list_are_printed() -> None:
    """Cards describe themselves: their JSON schema, and the shipped ones with their claims."""
    schema = json.loads(invoke("sweep", "--schema").stdout)
    assert "datasets" in schema["properties"]
    cards = json.loads(invoke("sweep", "--list", "--json").stdout)
    assert {"demo", "coco", "table5"} <= set(cards)
    text = invoke("sweep", "--list").stdout
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("ending", ["png", "csv"])
def test_a_sweep_replaces_nobody_s_picture(tmp_path: Path, ending: str) -> None:
    """What lies where the plot or its numbers would go is asked about before anything runs."""
    theirs = tmp_path / f"demo.{ending}"
    theirs.write_text("mine")
    places = ("--results", str(tmp_path), "--store", str(tmp_path / "store"))
    error = invoke("sweep", "demo", *places).exception
    assert "not written by omnicost; move it" in str(error)
    assert theirs.read_text() == "mine"


def test_sweep_without_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`omnicost sweep coco` with nothing at hand says what to put where."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    done = invoke("sweep", "coco")
    assert isinstance(done.exception, MissingError)
    for part in ("train2017", "--data", "hf download facebook/sam-vit-huge"):
        assert part in line_of(done.exception)
    assert "\n" not in str(done.exception)


def test_dry_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run names cells, counts, hours, and what is missing, and writes nothing."""

    def nothing(name_or_path: str, **_: Any) -> None:
        raise MissingError(name_or_path, "not here", "get it")

    monkeypatch.setattr(sources_module, "open_dataset", nothing)
    monkeypatch.chdir(tmp_path)
    told = json.loads(invoke("sweep", "coco", "--dry-run", "--json").stdout)
    assert (told["cells"], len(told["cell_names"])) == (13, 13)
    assert told["device_hours_total"]["shared"] < told["device_hours_total"]["naive"]
    assert any("coco" in text for text in told["missing"])
    done = invoke("sweep", "coco", "--dry-run")
    assert "13 cells" in done.stdout
    assert done.exit_code == 1  # something is missing
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "none is named"),
        (("dmeo",), "no card 'dmeo'"),
        (("demo", "--only", "colour=red"), "--only"),
        (("demo", "--set", "recipe"), "--set"),
        (("demo", "--set", "colour=red"), "colour: unknown field"),
        (("demo", "--seeds", "x"), "--seeds"),
    ],
)
def test_bad_options_are_one_line(
    arguments: tuple[str, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad option is told with its remedy, not with a traceback."""
    monkeypatch.chdir(tmp_path)
    error = invoke("sweep", *arguments, *(["--dry-run"] if arguments else [])).exception
    assert isinstance(error, OmnicostError)
    assert part in line_of(error)
    assert "\n" not in str(error)


def test_store_lists_verifies_and_deletes_damage(store: Store) -> None:
    """ls shows every artefact; verify finds a changed byte, exit code 2; --delete removes it."""
    listed = json.loads(invoke("store", "ls", "--json").stdout)
    assert len(listed) == 17
    assert "17 artefacts" in invoke("store", "ls").stdout
    assert len(json.loads(invoke("store", "ls", "--stage", "student", "--json").stdout)) == 5
    assert invoke("store", "verify").exit_code == 0
    victim = next(entry["key"] for entry in listed if entry["stage"] == "student")
    (store.path(victim) / "student.npy").write_bytes(b"damage")
    done = invoke("store", "verify")
    assert done.exit_code == 2
    assert "student.npy: its bytes changed" in done.stdout
    assert invoke("store", "verify", "--delete").exit_code == 0
    assert not store.has(victim)


def test_gc_removes_scratch_only(store: Store) -> None:
    """Without --keep nothing finished goes; a dry run removes nothing at all."""
    left = store.building("dead")
    before = list(store.keys())
    assert json.loads(invoke("store", "gc", "--dry-run", "--json").stdout)["leftovers"] == 1
    assert left.exists()
    assert invoke("store", "gc").exit_code == 0
    assert not left.exists()
    assert list(store.keys()) == before


def test_gc_spares_what_was_taken_since_it_looked(store: Store) -> None:
    """A dead lock that a sweep takes between the look and the removal stays its own."""
    (store.root / "locks" / "one.lock").write_text("garbage")
    (store.root / "building" / "one.dead").mkdir()
    (store.root / "locks" / "two.lock").write_text("garbage")
    leftovers = list(store.leftovers())
    lease = store.locks.try_acquire("one")
    assert lease is not None
    with lease:
        assert _remove(store, leftovers, []) == []
        assert lease.is_held()
        assert (store.root / "building" / "one.dead").exists()
    assert not (store.root / "locks" / "two.lock").exists()


def test_gc_keeps_what_a_card_needs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --keep, artefacts of other cards go."""
    kept = next(iter(store.keys()))
    monkeypatch.setattr("omnicost.cli.store._needed", lambda *_: {kept})
    assert json.loads(invoke("store", "gc", "--keep", "x", "--json").stdout)["artefacts"] == 16
    assert list(store.keys()) == [kept]


def test_store_verbs_refuse_other_folders(tmp_path: Path) -> None:
    """A folder that is no store is one line."""
    for verb in ("ls", "verify", "gc"):
        error = invoke("store", verb, "--store", str(tmp_path)).exception
        assert isinstance(error, OmnicostError)
        assert "is not a store" in str(error)


def test_teacher_only_trains_no_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same card with --teacher-only ends in the quality of pseudo-masks."""
    monkeypatch.chdir(tmp_path)
    card = ("sweep", "tiny-coco", "--dry-run", "--json")
    whole, teacher = (json.loads(invoke(*card, *more).stdout) for more in ((), ("--teacher-only",)))
    assert teacher["cells"] == whole["cells"]
    assert teacher["stages"] < whole["stages"]


def small_card(folder: Path, steps: int = 4, **more: Any) -> tuple[str, ...]:
    """Arguments that sweep a card of small random models on eight pictures."""
    pytest.importorskip("torch")
    from small_models import card_content
    from student_world import tiny_values

    student = tiny_values(steps=steps, batch_images=2) | {"checkpoint_every": 1, "log_every": 1}
    card = card_content(folder, 2, student) | {"resources": {"default": {"retries": 0}}} | more
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    folders = ("--store", str(folder / "store"), "--results", str(folder / "results"))
    return ("sweep", str(folder / "card.yaml"), *folders, "--cpus", "2")


@pytest.mark.slow
def test_card_with_a_scheduler_runs_from_the_command_line(tmp_path: Path) -> None:
    """Two variants of a cell under ASHA, with the progress display: each ends in a row."""
    variants = {
        "slow": {"student.optimizer.learning_rate": 1e-9},
        "fast": {"student.optimizer.learning_rate": 1e-3},
    }
    scheduler = {"name": "asha", "options": {"grace_period": 1, "reduction_factor": 2}}
    grid = {"mask_shares": [1], "types": ["none"]}
    sweep = small_card(tmp_path, grid=grid, variants=variants, scheduler=scheduler)
    done = invoke(*sweep, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["failed"] == {}
    rows = {row["variant"]: row["truncated"] for row in told["rows"]}
    assert set(rows) == {"slow", "fast"}
    assert not all(rows.values())
    assert len(told["stopped"]) == sum(rows.values())


def test_a_cell_of_masks_alone_has_no_row_of_a_teacher() -> None:
    """Where every image has masks nothing is drawn, and the other cells' rows are written."""
    from types import SimpleNamespace

    from omnicost.sweep.launch import _teacher_rows

    masks_alone: Any = SimpleNamespace(outputs={})
    nothing: Any = None
    assert _teacher_rows([masks_alone], nothing, nothing) == ()


GRID = {"mask_shares": [0, 0.5, 1], "types": ["box"]}


def test_rows_of_other_teachers_stay(tmp_path: Path) -> None:
    """Some cells of a card alone (`--only`) replace their own rows and no others."""

    def row(seed: int, miou: float) -> TeacherRow:
        told: dict[str, Any] = {
            "dataset": "d",
            "variant": "v",
            "config_hash": "h",
            "annotation": "box",
        }
        return TeacherRow.model_validate(
            told | {"policy": {"box": 1.0}, "seed": seed, "miou": miou}
        )

    path = tmp_path / "x.teacher.jsonl"
    write_teacher_rows(path, [row(0, 50), row(1, 51)])
    write_teacher_rows(path, [row(1, 60)])
    assert read_teacher_rows(path) == [row(0, 50), row(1, 60)]


def students_trained(store: Store) -> list[int]:
    """How often each student of a store was trained to its end."""
    kinds = {manifest.key: manifest.stage for manifest in store.manifests()}
    students = [key for key, stage in kinds.items() if stage == "student"]
    return [sum(e.event == "done" for e in store.executions(key)) for key in students]


@pytest.mark.slow
def test_a_sweep_decides_from_the_command_line(tmp_path: Path) -> None:
    """A limit of hours ends it after some cells; more hours go on; a full sweep takes the rest."""
    sweep = small_card(tmp_path, grid=GRID, decide={"spread": 1.0, "runs": 1})
    done = invoke(*sweep, "--regret", "1e-6", "--device-hours", "1e-9", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == []
    done = invoke(*sweep, "--regret", "100")
    assert done.exit_code == 0, done.output
    for part in ("decided: expected regret is under 100 AP", "was decided", "not run"):
        assert part in " ".join(done.output.split())
    store = Store(tmp_path / "store", create=False)
    first = len(students_trained(store))
    assert 1 <= first < 3
    told = json.loads(invoke(*sweep, "--forecast", "--json").stdout)
    assert sum(cell["runs"] for cell in told["cells"]) == first
    done = invoke(*sweep, "--set", "decide=null", "--json")
    assert len(json.loads(done.stdout)["rows"]) == 3
    assert students_trained(store) == [1, 1, 1]
    assert len((tmp_path / "results" / "small.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_deciding_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The command killed while a student trains, started again: no student is trained twice."""
    sweep = small_card(tmp_path, steps=40, grid=GRID, decide={"spread": 1.0, "runs": 1})
    sweep = (*sweep, "--regret", "1e-6")
    command = [sys.executable, "-m", "omnicost", *sweep, "--json"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 600
        while not list((tmp_path / "store").glob("work/*/checkpoint*")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        first.kill()
        first.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "store", create=False)
    trained = students_trained(store)
    assert trained == [1] * len(trained)
    assert len(json.loads(done.stdout)["rows"]) == len(trained) <= 3
    told = "".join(path.read_text() for path in (tmp_path / "results").glob("*.jsonl"))
    assert len(told.splitlines()) == len(trained)
