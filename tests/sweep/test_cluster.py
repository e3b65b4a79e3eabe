"""Two Ray nodes on one machine, in different working directories."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from omnicost.engine.store import Store
from omnicost.results import read_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two nodes, each started in a folder of its own."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    here = Path.cwd()
    cluster = cluster_utils.Cluster()
    try:
        for _ in range(2):
            os.chdir(tmp_path_factory.mktemp("node"))
            cluster.add_node(num_cpus=1, include_dashboard=False)
        os.chdir(here)
        yield cluster.address
    finally:
        os.chdir(here)
        cluster.shutdown()


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card of the real pipeline on random small models."""
    pytest.importorskip("torch")
    from small_models import card_content
    from student_world import tiny_values

    root = tmp_path_factory.mktemp("world")
    content = card_content(root, 20, tiny_values(steps=20, batch_images=2)) | {
        "smoke": {
            "grid": {"mask_shares": [0.5, 1], "types": ["point", "box"]},
            "recipe": {"teacher": {"steps": 2}, "student": {"schedule": {"steps": 2}}},
        },
    }
    path = root / "card.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def sweep(folder: Path, card: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from omnicost.cli import main; main()",
        "sweep",
        str(card),
        "--smoke",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)


def test_smoke_card_runs_on_two_nodes(address: str, card: Path, tmp_path: Path) -> None:
    """Nodes in other folders than the driver find the store; every cell ends in a row."""
    done = sweep(tmp_path, card, "--address", address)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(read_rows(tmp_path / "results" / "small-smoke.jsonl")) == 3
    store = Store(tmp_path / "store", create=False)
    assert all(not store.faults(key) for key in store.keys())  # noqa: SIM118
    assert {store.executions(key)[-1].event for key in store.keys()} == {"done"}  # noqa: SIM118


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_store_that_nodes_do_not_share_is_refused(address: str, card: Path, tmp_path: Path) -> None:
    """A path that means another folder on each node is refused in one line that names a node."""
    done = sweep(tmp_path, card, "--address", address, "--store", "/proc/self/cwd/store")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("omnicost: --store /proc/self/cwd/store: node ")
    assert "does not see this store; name a folder that all nodes share" in last


def test_absent_cluster_is_one_line(card: Path, tmp_path: Path) -> None:
    """An address where no cluster answers is one line."""
    done = sweep(tmp_path, card, "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster answers" in done.stderr.strip().splitlines()[-1]
