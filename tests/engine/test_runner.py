"""The runner on small real stages: sharing, failures, stopping, several processes, resources."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine_toys import Toys, rows_of, score_at, toy_planner
from places import SUPPORT

from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph, build_graph
from omnicost.engine.ray import runner
from omnicost.engine.ray.cluster import ray_session
from omnicost.engine.ray.runner import RayOptions, complete
from omnicost.engine.resources import Resources, SchedulerSpec
from omnicost.engine.store import Store
from omnicost.errors import InputError


@pytest.fixture(scope="module")
def ray_on_two_cores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One local Ray for the whole module: starting it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SUPPORT))  # workers import the toy stages
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves them on a busy machine
        with ray_session(tmp_path_factory.mktemp("ray"), cpus=2):
            yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def graph_of(toys: Toys) -> Graph:
    return build_graph(toys.targets(), toy_planner(toys))


def run_serially(graph: Graph, store: Store) -> None:
    for stage in graph.stages.values():
        execute(store, stage)


def done_counts(graph: Graph, store: Store) -> set[int]:
    return {
        sum(execution.event == "done" for execution in store.executions(key))
        for key in graph.stages
    }


def events(store: Store, key: str) -> list[str]:
    return [execution.event for execution in store.executions(key)]


def test_sweep_on_ray_equals_one_stage_after_the_other(
    ray_on_two_cores: None, store: Store, tmp_path: Path
) -> None:
    """Tasks and trials give the rows of a plain loop, and every stage ran exactly once."""
    graph = graph_of(Toys())
    states: list[tuple[str, str]] = []
    end = complete(
        graph, store, on_change=lambda plan, state: states.append((plan.target.id, state))
    )
    assert (end.failed, end.stopped, end.computed) == ({}, {}, frozenset(graph.stages))
    plain = Store(tmp_path / "plain")
    run_serially(graph, plain)
    rows = rows_of(store.root, graph.plans)
    assert rows == rows_of(plain.root, graph.plans)
    assert len(set(rows.values())) == len(rows)
    assert done_counts(graph, store) == {1}
    for plan in graph.plans:
        assert [state for cell, state in states if cell == plan.target.id] == ["running", "done"]
    assert [*(store.root / "building").iterdir(), *(store.root / "ray").iterdir()] == []


class Chosen:
    """Has targets computed one after the other in a given order, and notes what it was asked."""

    def __init__(self, *order: str) -> None:
        self.order = list(order)
        self.under_way: list[int] = []

    def is_enough(self, left: Collection[str]) -> bool:
        return not set(self.order) & set(left)

    def choose(self, left: Collection[str], under_way: Collection[str], count: int) -> list[str]:
        self.under_way.append(len(under_way) + count)
        return [target for target in self.order if target in left][:count]


def test_only_chosen_targets_are_computed(ray_on_two_cores: None, store: Store) -> None:
    """What a chooser leaves alone has not failed, and none of its own stages ran."""
    graph = graph_of(Toys())
    chooser = Chosen("toys/mask=1/seed=0", "toys/box=1/seed=0", "toys/mask=0.1,none=0.9/seed=0")
    end = complete(graph, store, RayOptions(chooser=chooser))
    assert (end.failed, len(end.left)) == ({}, 2)
    chosen = [plan for plan in graph.plans if plan.target.id in chooser.order]
    keys = {stage.key for plan in chosen for stage in plan.stages}
    assert end.computed == keys == set(store.keys())
    assert max(chooser.under_way) == 2  # devices
    assert done_counts(graph, store) == {0, 1}
    assert complete(graph, store, RayOptions(chooser=chooser)).computed == frozenset()
    assert complete(graph, store).computed == frozenset(graph.stages) - keys


def test_what_a_chooser_left_is_told_while_other_stages_end(
    ray_on_two_cores: None, store: Store
) -> None:
    """A shared stage that an ended target lacks is computed; the targets left alone are named."""
    graph = graph_of(Toys())
    first, *others = graph.plans
    data = first.stages[0].key
    ended = replace(first, trial=(), outputs={"data": data})
    end = complete(Graph((ended, *others), graph.stages), store, RayOptions(chooser=Chosen()))
    assert (end.failed, end.computed) == ({}, {data})
    assert end.left == tuple(plan.target.id for plan in others)


def test_a_chosen_target_that_fails_leaves_the_others(ray_on_two_cores: None, store: Store) -> None:
    """A broken teacher takes its own target down; the next chosen one ends well."""
    toys = Toys(recipe={"steps": 2, "broken": "box"})
    toys = replace(toys, resources={"default": Resources(cpus=1, retries=0)})
    end = complete(
        graph_of(toys),
        store,
        RayOptions(chooser=Chosen("toys/box=1/seed=0", "toys/none=1/seed=0")),
    )
    assert list(end.failed) == ["toys/box=1/seed=0"]
    assert "this teacher always raises" in end.failed["toys/box=1/seed=0"]
    assert len(end.left) == 3


def test_finished_sweep_does_not_start_ray(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything in the store there is nothing to connect to."""
    graph = graph_of(Toys())
    run_serially(graph, store)
    monkeypatch.setattr(runner, "ray_session", None)
    assert complete(graph, store) == runner.Completion()
    assert done_counts(graph, store) == {1}


def test_failing_stage_takes_down_only_the_cells_that_need_it(
    ray_on_two_cores: None, store: Store
) -> None:
    """A stage that raises is tried again, then its cells fail with cause and log; the rest end."""
    resources = {"default": Resources(retries=1)}
    toys = Toys(recipe={"steps": 2, "broken": "box"}, resources=resources)
    graph = graph_of(toys)
    end = complete(graph, store)
    assert set(end.failed) == {"toys/box=1/seed=0", "toys/mask=0.1,box=0.9/seed=0"}
    for cause in end.failed.values():
        assert "ValueError: this teacher always raises" in cause
        log = Path(cause.partition("log: ")[2].rstrip(")"))
        assert log.read_text().count("Traceback") == 2  # one retry
    assert len(end.computed) == 1 + 2 * 4 + 2  # data, two whole cells, the fully supervised one


def test_lost_worker_and_failing_student_take_down_their_own_cells(
    ray_on_two_cores: None, store: Store
) -> None:
    """A killed worker (as for want of memory) and a full disk are told as such; the rest ends."""
    fates = {"none": "killed", "box": "raises"}
    toys = Toys(recipe={"steps": 2, "fates": fates}, resources={"default": Resources(retries=1)})
    graph = graph_of(toys)
    end = complete(graph, store)
    assert set(end.failed) == {"toys/none=1/seed=0", "toys/box=1/seed=0"}
    assert "its worker was killed" in end.failed["toys/none=1/seed=0"]
    full = end.failed["toys/box=1/seed=0"]
    assert full.startswith("student toys/box=1/seed=0: OSError: [Errno 28] No space left on device")
    assert "\n" not in full
    rest = [plan for plan in graph.plans if plan.target.id not in end.failed]
    assert all(store.has(plan.outputs["score"]) for plan in rest)
    students = [s for s in graph.stages.values() if s.name == "student"]
    starts = {s.params.fate: events(store, s.key).count("start") for s in students}
    assert starts == {"killed": 2, "raises": 2, "": 1}  # each tried once more


@pytest.mark.slow
def test_scheduler_stops_variants_within_their_group(ray_on_two_cores: None, store: Store) -> None:
    """ASHA stops the worse variant of each cell; no cell is stopped for another policy's sake."""
    toys = Toys(
        shares=[0.0],
        variants={"good": {"gain": 2.0}, "bad": {"gain": 1.0}},
        recipe={"steps": 12, "step_seconds": 0.05, "compare": True},
        scheduler=SchedulerSpec(name="asha", metric="ap", mode="max", options={"grace_period": 2}),
    )
    graph = graph_of(toys)
    end = complete(graph, store, RayOptions(scheduler=toys.scheduler))
    assert end.failed == {}
    assert set(end.stopped) == {"toys/none=1/seed=0/bad", "toys/box=1/seed=0/bad"}
    for stopped in end.stopped.values():
        assert 2 <= stopped.report["step"] < 12
        assert score_at(store, stopped.scores) == stopped.report["step"]  # from its scratch
    kept = [plan for plan in graph.plans if plan.target.variant == "good"]
    assert all(store.has(plan.outputs["score"]) for plan in kept)
    again = complete(graph, store, RayOptions(scheduler=toys.scheduler))
    assert again == runner.Completion(stopped=end.stopped)  # what was stopped stays so


def graph_on_two_processes() -> Graph:
    """A student of two workers, and its score."""
    toys = Toys(
        shares=[1.0],
        recipe={"steps": 3, "distributed": True},
        resources={"default": Resources(retries=0), "student": Resources(workers=2, retries=0)},
    )
    return graph_of(toys)


@pytest.mark.slow
def test_student_on_two_processes(ray_on_two_cores: None, store: Store) -> None:
    """A stage with two workers runs in a gloo group through Ray Train, inside its trial."""
    pytest.importorskip("torch")
    graph = graph_on_two_processes()
    end = complete(graph, store)
    assert end.failed == {}
    # Two workers add rank + 1 in every step: 3 steps of 1 + 2.
    assert rows_of(store.root, graph.plans) == {"toys/mask=1/seed=0": 9.0}
    student = next(stage for stage in graph.stages.values() if stage.name == "student")
    manifest = store.manifest(student.key)
    assert manifest.workers == 2
    assert set(manifest.files) == {"student.npy"}


@pytest.mark.slow
def test_a_shared_stage_on_two_processes(ray_on_two_cores: None, store: Store) -> None:
    """A stage of several workers that is no trial's own, such as a trunk, has them all the same."""
    pytest.importorskip("torch")
    graph = graph_on_two_processes()
    plans = tuple(replace(plan, trial=plan.trial[1:]) for plan in graph.plans)  # scores alone
    assert complete(Graph(plans, graph.stages), store).failed == {}
    assert rows_of(store.root, plans) == {"toys/mask=1/seed=0": 9.0}
    student = next(stage for stage in graph.stages.values() if stage.name == "student")
    assert store.manifest(student.key).workers == 2


def test_impossible_resources_are_refused(ray_on_two_cores: None, store: Store) -> None:
    """A stage that no node can hold is refused in one line instead of waited for."""
    toys = Toys(resources={"teacher": Resources(gpus=1)})
    with pytest.raises(InputError, match=r"resources.teacher: asks for 1 CPU and 1 GPU"):
        complete(graph_of(toys), store)


def test_cells_that_share_a_student_run_it_once(ray_on_two_cores: None, store: Store) -> None:
    """Two variants whose students are the same stage: one trains, the other finds it."""
    toys = Toys(
        shares=[1.0],
        variants={"one": {"unused": 1}, "two": {"unused": 2}},
    )
    graph = graph_of(toys)
    end = complete(graph, store)
    assert end.failed == {}
    assert len(graph.plans) == 2
    assert done_counts(graph, store) == {1}


def test_pass_on_ray(ray_on_two_cores: None, store: Store) -> None:
    """A failing teacher takes down its own cells; the others' labels are drawn in one pass."""
    recipe = {"steps": 2, "passes": True, "broken": "box"}
    toys = Toys(recipe=recipe, resources={"default": Resources(retries=0)})
    graph = graph_of(toys)
    end = complete(graph, store)
    assert set(end.failed) == {"toys/box=1/seed=0", "toys/mask=0.1,box=0.9/seed=0"}
    drawn = [s for s in graph.stages.values() if s.name == "label" and store.has(s.key)]
    assert len(drawn) == 2
    for stage in drawn:
        assert events(store, stage.key) == ["start", "done"]
        assert "in a pass of 2" in store.log(stage.key).read_text()


def test_broken_pass_on_ray_costs_no_cell(ray_on_two_cores: None, store: Store) -> None:
    """After a pass that raised, the stages' own tasks compute them."""
    graph = graph_of(Toys(recipe={"steps": 2, "passes": True, "pass_breaks": True}))
    end = complete(graph, store)
    assert end.failed == {}
    assert done_counts(graph, store) == {1}
    labels = [stage for stage in graph.stages.values() if stage.name == "label"]
    assert [events(store, s.key) for s in labels] == [["start", "failed", "start", "done"]] * 4
