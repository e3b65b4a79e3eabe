"""Stages, keys and sharing."""

import subprocess
import sys
from dataclasses import replace

from engine_toys import TEACHER, TeacherParams, Toys, toy_planner
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.engine.graph import Stage, StageKind, build_graph
from omnicost.engine.keys import canonical_json, digest
from omnicost.engine.params import Params, runtime_field
from omnicost.engine.resources import Resources

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None)  # of a busy machine
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_json_has_one_spelling(payload: dict) -> None:
    """Equal data in any order make one text."""
    assert canonical_json(payload) == canonical_json(dict(reversed(payload.items())))


def test_key_depends_on_what_changes_the_output_only() -> None:
    """Parameters, inputs, scratch, version, salt change a key; runtime fields, resources do not."""
    params = TeacherParams(share=1.0, steps=1)
    stage = Stage(TEACHER, params)
    slower = params.model_copy(update={"step_seconds": 9.0})
    same = Stage(TEACHER, slower, resources=Resources(threads=4), label="x", priced_as="x")
    others = [
        Stage(TEACHER, TeacherParams(share=1.0, steps=2)),
        Stage(TEACHER, params, inputs={"data": "0" * 64}),
        Stage(TEACHER, params, scratch={"data": "0" * 64}),
        Stage(TEACHER, params, salt="cell"),
        Stage(replace(TEACHER, version=2), params),
    ]
    assert stage.key == same.key
    assert len({stage.key, *(other.key for other in others)}) == 6


def test_identity_leaves_runtime_fields_out_at_any_depth() -> None:
    """What only says where or how fast is not in the identity, which can be read back."""

    class Outer(Params):
        inner: TeacherParams
        place: TeacherParams | None = runtime_field(None)

    inner = TeacherParams(share=0.5, steps=3, step_seconds=9.0)
    told = Outer(inner=inner, place=inner)
    assert told.identity() == {"inner": {"share": 0.5, "steps": 3, "raises": False}}
    kind = StageKind("outer", 1, Outer, print)
    assert kind.read("outer", told.identity()) == Outer(
        inner=inner.model_copy(update={"step_seconds": 0.0})
    )
    assert kind.read("other", told.identity()) is None
    assert kind.read("outer", {"of": "another time"}) is None


def test_key_is_the_same_in_another_process() -> None:
    """Keys do not depend on hash seeds or memory."""
    code = "from omnicost.engine.keys import digest; print(digest({'b': [1.5], 'a': 'ä'}))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert runs == {digest({"a": "ä", "b": [1.5]})}


def test_cells_share_equal_stages() -> None:
    """Five cells of the toy pipeline: one data set, one teacher a share, labels by type."""
    toys = Toys()
    graph = build_graph(toys.targets(), toy_planner(toys))
    names = [stage.name for stage in graph.stages.values()]
    assert {name: names.count(name) for name in dict.fromkeys(names)} == {
        "data": 1,
        "teacher": 2,
        "label": 4,
        "student": 5,
        "score": 5,
    }
    assert graph.naive_count == 4 * 5 + 3
    shared = ["data", *("teacher", "label", "label") * 2]
    assert [stage.name for stage in graph.shared] == shared


def test_without_sharing_every_cell_has_its_own_stages() -> None:
    """--no-share gives each cell keys of its own."""
    toys = Toys()
    graph = build_graph(toys.targets(), toy_planner(toys), share=False)
    assert len(graph.stages) == graph.naive_count == 23


def test_only_what_is_missing_is_needed() -> None:
    """A finished output needs nothing; a missing one needs its missing inputs."""
    toys = Toys()
    graph = build_graph(toys.targets(), toy_planner(toys))
    plan = graph.plans[0]
    scores = {p.outputs["score"] for p in graph.plans}
    assert graph.needed(lambda key: key in scores) == frozenset()
    missing = {plan.outputs["score"], plan.trial[0]}
    assert graph.needed(lambda key: key not in missing) == missing
    labels = next(iter(plan.waits_for - {graph.plans[-1].stages[0].key}))
    assert labels not in graph.needed(lambda key: key in scores - missing or key == labels)


def test_a_trial_waits_for_what_its_own_stages_read() -> None:
    """Data and labels, which the student reads; not the teacher, nor what the trial makes."""
    toys = Toys(shares=[0.1, 1.0], types=["box"])
    mixed, full = build_graph(toys.targets(), toy_planner(toys)).plans
    by_name = {stage.name: stage.key for stage in mixed.stages}
    assert mixed.waits_for == {by_name["data"], by_name["label"]}
    assert full.waits_for == {by_name["data"]}
    assert mixed.trial == (by_name["student"], by_name["score"])


def test_another_grid_finds_the_same_teacher() -> None:
    """Targets of different grids that need the same stage have the same key for it."""
    one, two = Toys(), Toys(seeds=[0, 1], shares=[0.1])
    keys = [set(build_graph(toys.targets(), toy_planner(toys)).stages) for toys in (one, two)]
    shared = 2  # none and box at 10%
    assert len(keys[0] & keys[1]) == 1 + 1 + 3 * shared
