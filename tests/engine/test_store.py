"""The store: whole artefacts or none, one computation a key, dead owners, damage."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engine_toys import DATA, TEACHER, DataParams, TeacherParams

from omnicost.engine import lease as lease_module
from omnicost.engine.execute import StageFailure, execute
from omnicost.engine.graph import Stage
from omnicost.engine.lease import Locks
from omnicost.engine.store import MANIFEST, Store
from omnicost.errors import InputError, StageError

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def data_stage(seed: int = 0) -> Stage:
    return Stage(DATA, DataParams(seed=seed))


def teacher_stage(step_seconds: float = 0.0, steps: int = 5) -> Stage:
    return Stage(
        TEACHER,
        TeacherParams(share=1.0, steps=steps, step_seconds=step_seconds),
        inputs={"data": data_stage().key},
    )


def events(store: Store, stage: Stage) -> list[str]:
    return [execution.event for execution in store.executions(stage.key)]


def test_stage_is_computed_once_then_found(store: Store) -> None:
    """The second execution reads the store; the manifest says where the artefact comes from."""
    first, second = (execute(store, data_stage()) for _ in range(2))
    assert (first.reused, second.reused) == (False, True)
    assert events(store, data_stage()) == ["start", "done"]
    manifest = store.manifest(first.key)
    assert manifest.params == {"seed": 0}
    assert set(manifest.files) == {"x.npy"}
    assert manifest.wall_seconds > 0
    assert manifest.versions["python"]
    assert store.faults(first.key) == ()
    assert not list((store.root / "building").iterdir())
    assert not list((store.root / "work").iterdir())


def test_raising_stage_leaves_nothing_but_its_log(store: Store) -> None:
    """A failure names stage, cause and log; no artefact or lock stays; the next attempt runs."""
    execute(store, data_stage())
    stage = Stage(
        TEACHER,
        TeacherParams(share=1.0, steps=1, raises=True),
        inputs={"data": data_stage().key},
        label="teacher of box",
    )
    with pytest.raises(StageFailure, match="teacher of box: ValueError: this teacher always"):
        execute(store, stage)
    assert "Traceback" in store.log(stage.key).read_text()
    assert not store.has(stage.key)
    assert list(store.locks.held()) == []
    assert events(store, stage) == ["start", "failed"]


def test_missing_input_is_refused(store: Store) -> None:
    """A stage without its input is an error, not a crash in its function."""
    with pytest.raises(StageError, match="its input data is not in"):
        execute(store, teacher_stage())


def _execute_in_process(root: Path, stage: Stage) -> None:
    execute(Store(root), stage)


def test_two_processes_compute_a_shared_stage_once(store: Store) -> None:
    """Of several that want one stage, one computes it and the others wait for it."""
    execute(store, data_stage())
    stage = teacher_stage(step_seconds=0.1)
    workers = [
        SPAWN.Process(target=_execute_in_process, args=(store.root, stage)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert events(store, stage) == ["start", "done"]


def test_killed_owner_is_replaced_and_its_work_resumed(store: Store) -> None:
    """A SIGKILLed owner is seen at once; the next resumes its checkpoint to the same bits."""
    execute(store, data_stage())
    stage = teacher_stage(step_seconds=0.2, steps=10)
    worker = SPAWN.Process(target=_execute_in_process, args=(store.root, stage))
    worker.start()
    checkpoint = store.root / "work" / stage.key / "checkpoint.npz"
    _wait_for(checkpoint.exists)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join(10)
    assert not store.has(stage.key)
    assert len(list((store.root / "building").iterdir())) == 1

    steps: list[int] = []
    execute(store, stage, observe=lambda done, total, figures: steps.append(done))
    assert 0 < len(steps) < 10  # goes on after the checkpoint
    assert events(store, stage) == ["start", "lost", "start", "done"]
    fresh = Store(store.root.parent / "fresh")
    execute(fresh, data_stage())
    execute(fresh, teacher_stage(steps=10))
    name = "weights.npy"
    whole, resumed = (s.path(stage.key) / name for s in (fresh, store))
    assert whole.read_bytes() == resumed.read_bytes()
    assert [path.parent.name for path in store.leftovers()] == ["building"]


def test_owner_on_another_host_is_dead_when_its_heart_stops(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, an owner lives while its heartbeat moves and dies a lease after it stops."""
    lease = store.locks.try_acquire("stage")
    assert lease is not None
    locks = Locks(store.locks.folder, lease_seconds=0.3)
    monkeypatch.setattr(lease_module, "host_identity", lambda: "elsewhere")
    for _ in range(3):
        lease._beat()
        assert locks.try_acquire("stage") is None
        time.sleep(0.2)
    time.sleep(0.2)
    taken = locks.try_acquire("stage")
    assert taken is not None
    assert taken.lost is not None
    assert not lease.is_held()
    store.locks.release(lease)  # the old owner must not free the new owner's lock
    assert taken.is_held()


def test_settling_tells_the_dead_of_other_hosts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reboot all locks are another host's: a lease later they are leftovers."""
    lease = store.locks.try_acquire("stage")
    assert lease is not None
    lease._beat()
    again = Store(store.root, lease_seconds=0.2)
    again.locks.settle()  # its own host's owners are told at once
    assert not list(again.leftovers())
    monkeypatch.setattr(lease_module, "host_identity", lambda: "rebooted")
    assert not list(again.leftovers())
    again.locks.settle()
    assert {path.suffix for path in again.leftovers()} == {".lock", ".beat"}


def test_a_lease_without_a_first_beat_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk too full for a heartbeat; the next attempt would wait for its own process."""

    def full(path: Path, payload: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    lease = store.locks.try_acquire("stage")
    assert lease is not None
    with monkeypatch.context() as patched:
        patched.setattr(lease_module, "write_json", full)
        with pytest.raises(OSError, match="No space left"):
            lease.__enter__()
    assert store.locks.try_acquire("stage") is not None


def test_age_of_a_lease_counts_from_the_last_new_beat(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, an owner is alive for less than a lease after its beat was last seen to move."""
    lease = store.locks.try_acquire("stage")
    assert lease is not None
    monkeypatch.setattr(lease_module, "host_identity", lambda: "elsewhere")
    now = 1000.0
    monkeypatch.setattr(lease_module.time, "monotonic", lambda: now)
    locks, owner = Locks(store.locks.folder, lease_seconds=60), lease.owner
    lease._beat()
    for at, beats, alive in [
        (1000.0, False, True),
        (1059.9, False, True),
        (1060.0, False, False),  # 60 s since the beat was first seen
        (1070.0, True, True),  # it moves again
        (1129.9, False, True),
        (1130.0, False, False),
    ]:
        now = at
        if beats:
            lease._beat()
        assert locks.is_alive(owner) is alive, at


def test_recycled_process_id_is_not_the_owner(store: Store) -> None:
    """A process that merely has the dead owner's id does not keep the lock alive."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        lease = store.locks.try_acquire("stage")
        assert lease is not None
        imposter = replace(lease.owner, pid=sleeper.pid)
        assert not store.locks.is_alive(imposter)
        assert store.locks.is_alive(lease.owner)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_publishing_twice_keeps_the_first(store: Store) -> None:
    """Whoever comes second is discarded, and the artefact stays whole."""
    outcome = execute(store, data_stage())
    manifest = store.manifest(outcome.key)
    building = store.building(outcome.key)
    (building / "x.npy").write_bytes(b"other")
    assert not store.publish(building, manifest)
    assert store.faults(outcome.key) == ()
    assert not building.exists()


def test_damage_is_found(store: Store) -> None:
    """Changed, missing and foreign files are each named."""
    key = execute(store, data_stage()).key
    (store.path(key) / "x.npy").write_bytes(b"broken")
    (store.path(key) / "foreign").write_bytes(b"")
    assert store.faults(key) == ("foreign: not in the manifest", "x.npy: its bytes changed")
    (store.path(key) / "x.npy").unlink()
    assert "x.npy: missing" in store.faults(key)
    (store.path(key) / MANIFEST).write_text("{")
    assert "is damaged" in store.faults(key)[0]
    store.delete(key)
    assert not store.has(key)


def test_damaged_artefact_is_not_read(store: Store) -> None:
    """A stage refuses an input whose bytes changed, even to as many; a row refuses its figures."""
    key = execute(store, data_stage()).key
    path = store.path(key) / "x.npy"
    content = path.read_bytes()
    assert store.read(key, "x.npy") == content
    path.write_bytes(bytes(len(content)))
    with pytest.raises(StageError, match=r"x\.npy: its bytes changed.*verify --delete"):
        execute(store, teacher_stage())
    with pytest.raises(InputError, match="is not what its stage wrote"):
        store.read(key, "x.npy")
    path.write_bytes(content)
    (store.path(key) / ".nfs0001").write_bytes(b"")  # of the file system: no fault of the input
    assert not execute(store, teacher_stage()).reused


def test_foreign_and_damaged_folders_block_nobody(store: Store) -> None:
    """They are neither listed nor deleted; what is whole is found beside them."""
    key = execute(store, data_stage()).key
    foreign = store.root / "artefacts" / "my" / "photos"
    (foreign / MANIFEST).parent.mkdir(parents=True)
    (foreign / MANIFEST).write_text("{}")
    other = store.path("ab" + "0" * 62)
    (other / MANIFEST).mkdir(parents=True)  # a folder where a file should be
    (other.parent / ("cd" + "0" * 62)).mkdir()
    copied = store.path("ef" + "0" * 62)
    copied.mkdir(parents=True)
    (copied / MANIFEST).write_bytes((store.path(key) / MANIFEST).read_bytes())
    assert [manifest.key for manifest in store.manifests()] == [key]
    assert {name: bool(store.faults(name)) for name in store.keys()} == {  # noqa: SIM118
        key: False,
        other.name: True,
        copied.name: True,
    }
    for name in (other.name, copied.name):
        store.delete(name)
    store.delete(other.name)  # gone already
    assert list(store.keys()) == [key]
    assert foreign.exists()


def test_garbage_locks_and_records_are_nobodys(store: Store) -> None:
    """A lock file that no owner can have written holds nothing; a torn record line is left out."""
    stage = data_stage()
    for garbage in (b"", b"{", b"[1]", b'{"owner": 1}', b"\xff\xfe"):
        (store.root / "locks" / f"{stage.key}.lock").write_bytes(garbage)
        assert list(store.locks.held()) == []
        lease = store.locks.try_acquire(stage.key)
        assert lease is not None
        assert lease.lost is None
        store.locks.release(lease)
    execute(store, stage)
    with (store.root / "executions" / f"{stage.key}.jsonl").open("ab") as record:
        record.write(b'{"event": "sta')
    assert events(store, stage) == ["start", "done"]


@pytest.mark.parametrize(
    ("content", "part"),
    [("{", "marker"), ('{"id": "x"}', "marker"), ('{"version": 9, "id": "x"}', "version 9")],
)
def test_foreign_folders_are_refused(tmp_path: Path, content: str, part: str) -> None:
    """A folder with other files, or a marker of another kind, is no store."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        Store(tmp_path)
    with pytest.raises(InputError, match="is not a store"):
        Store(tmp_path, create=False)
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(InputError, match=part):
        Store(tmp_path)


def _open_and_print(root: Path, queue: "multiprocessing.Queue[str]") -> None:
    queue.put(Store(root).id)


def test_opening_a_new_store_from_several_processes_gives_one_id(tmp_path: Path) -> None:
    """Processes that create one store at once agree on its id."""
    queue = SPAWN.Queue()
    args = (tmp_path / "store", queue)
    workers = [SPAWN.Process(target=_open_and_print, args=args) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert len({queue.get(timeout=60) for _ in workers}) == 1
    for worker in workers:
        worker.join(10)


def test_leftovers_spare_the_living(store: Store) -> None:
    """Scratch of a running stage is kept, that of a dead or finished one is not."""
    done = execute(store, data_stage()).key
    store.work(done)
    store.building("dead")
    with store.locks.try_acquire("living") as lease:  # type: ignore[union-attr]
        store.work("living")
        store.building("living")
        assert lease.is_held()
        assert {path.name.partition(".")[0] for path in store.leftovers()} == {"dead", done}


def _wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def test_toy_stage_is_deterministic(store: Store, tmp_path: Path) -> None:
    """Two stores hold the same bytes for the same stage."""
    other = Store(tmp_path / "other")
    files = [(s.path(execute(s, data_stage()).key) / "x.npy").read_bytes() for s in (store, other)]
    assert files[0] == files[1]
