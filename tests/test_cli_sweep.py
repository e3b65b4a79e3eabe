"""`omnicost sweep` and `omnicost store` at the terminal, without running a stage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_toys import Toys, toy_planner
from typer.testing import CliRunner

from omnicost.cli import app
from omnicost.cli.shared.door import line_of
from omnicost.engine.execute import execute
from omnicost.engine.graph import build_graph
from omnicost.engine.store import Store
from omnicost.errors import MissingError, OmnicostError
from omnicost.sweep import sources as sources_module


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
    text = invoke("sweep", "coco", "--dry-run").stdout
    assert "13 cells" in text
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


@pytest.mark.slow
def test_card_with_a_scheduler_runs_from_the_command_line(tmp_path: Path) -> None:
    """Two variants of a cell under ASHA, with the progress display: each ends in a row."""
    pytest.importorskip("torch")
    from student_world import make_backbone, tiny_values
    from teacher_world import detector_folder, text_folder, tiny_sam, write_dataset

    tiny_sam().save_pretrained(tmp_path / "sam")
    write_dataset(tmp_path / "data", images=8)
    student = tiny_values(steps=4, batch_images=2) | {"checkpoint_every": 1, "log_every": 1}
    card = {
        "name": "raced",
        "datasets": [{"name": str(tmp_path / "data"), "train": "all", "val": "all"}],
        "grid": {"mask_shares": [1], "types": ["none"]},
        "recipe": {
            "models": {
                "sam": str(tmp_path / "sam"),
                "detector": detector_folder(tmp_path / "detector"),
                "text": text_folder(tmp_path / "text"),
                "backbone": make_backbone(tmp_path / "backbone"),
            },
            "student": student,
        },
        "variants": {
            "slow": {"student.optimizer.learning_rate": 1e-9},
            "fast": {"student.optimizer.learning_rate": 1e-3},
        },
        "scheduler": {"name": "asha", "options": {"grace_period": 1, "reduction_factor": 2}},
        "resources": {"default": {"retries": 0}},
    }
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    folders = ("--store", str(tmp_path / "store"), "--results", str(tmp_path / "results"))
    done = invoke("sweep", str(tmp_path / "card.yaml"), *folders, "--cpus", "2", "--json")
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
