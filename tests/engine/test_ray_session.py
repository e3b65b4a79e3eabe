"""A local Ray: where it listens, what it writes, what is left of it after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from omnicost.engine.store import Store
from omnicost.errors import InputError

pytest.importorskip("ray")
from omnicost.engine.ray.cluster import _connect
from omnicost.engine.ray.runner import _scratch

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc/net")

# Prints, of the processes of a local Ray: addresses they listen on, the store's open folders.
LOOK = """
import json, os, subprocess, sys
from pathlib import Path
from omnicost.engine.ray.cluster import ray_session
from omnicost.engine.ray.runner import _scratch
from omnicost.engine.store import Store

def tree(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [pid, *(each for child in children.split() for each in tree(int(child)))]

def listening(pids):
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(os.readlink(link))
            except OSError:
                pass
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                yield fields[1].partition(":")[0]

store = Store(Path(sys.argv[1]))
with _scratch(store) as scratch, ray_session(scratch, cpus=1):
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    print(json.dumps({
        "addresses": sorted(set(listening(tree(os.getpid())))),
        "mode": os.environ["RAY_AUTH_MODE"],
        "sessions": len(list(scratch.glob("session_2*"))),
        "private": oct((store.root / "ray").stat().st_mode & 0o777),
    }))
"""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}


def test_local_ray_is_private(tmp_path: Path) -> None:
    """It listens on loopback, asks for a token, writes into the store only, and leaves nothing."""
    root = tmp_path / ("a store with a name too long for sockets " * 2).strip() / "store"
    root.parent.mkdir()
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as short:
        own = environment(tmp_path) | {"TMPDIR": short}
        done = subprocess.run(
            [sys.executable, "-c", LOOK, str(root)], capture_output=True, text=True, env=own
        )
        assert done.returncode == 0, done.stderr
        assert list(Path(short).iterdir()) == []
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told["addresses"]) <= LOOPBACK
    assert told["addresses"]
    assert (told["mode"], told["sessions"], told["private"]) == ("token", 1, "0o700")
    assert list((root / "ray").iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []


def test_leftovers_of_a_killed_driver_go_at_the_next_start(tmp_path: Path) -> None:
    """After kill -9 the next sweep on the store removes both folders; a living one's stay."""
    code = (
        "import sys, time; from pathlib import Path; from omnicost.engine.store import Store;"
        "from omnicost.engine.ray.cluster import _short_way_to;"
        "from omnicost.engine.ray.runner import _scratch\n"
        "with _scratch(Store(Path(sys.argv[1]))) as scratch, _short_way_to(scratch) as way:\n"
        "    print(way.parent, flush=True); time.sleep(600)"
    )
    store = Store(tmp_path / "store")
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert driver.stdout is not None
        way = Path(driver.stdout.readline().strip())
        (left,) = (store.root / "ray").iterdir()
        with _scratch(store):
            assert way.is_dir()
            assert left.is_dir()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert way.is_dir()
        with _scratch(store) as scratch:
            assert list((store.root / "ray").iterdir()) == [scratch]
        assert not way.exists()
    finally:
        driver.kill()
        driver.wait()


@pytest.mark.parametrize("port", [1, 99_999])
def test_an_address_where_nothing_can_answer_is_one_line(port: int) -> None:
    """A port that nobody listens on, and one that is none."""
    with pytest.raises(InputError, match=rf"`address` 127.0.0.1:{port}: no Ray cluster answers"):
        _connect(f"127.0.0.1:{port}")
