"""Stages, keys and sharing."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_toys import TEACHER, toy_card, toy_planner

from omnicost.engine.graph import Stage, build_graph
from omnicost.engine.keys import canonical_json, digest
from omnicost.sweep.card import Resources

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None)  # of a busy machine
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_key_ignores_the_order_of_parameters(params: dict) -> None:
    """Equal parameters in any order make one key."""
    backwards = dict(reversed(params.items()))
    assert Stage(TEACHER, params).key == Stage(TEACHER, backwards).key
    assert canonical_json(params) == canonical_json(backwards)


def test_key_depends_on_what_changes_the_output_only() -> None:
    """Parameters, inputs, fingerprints and salt change a key; settings and resources do not."""
    stage = Stage(TEACHER, {"steps": 1})
    same = Stage(TEACHER, {"steps": 1}, settings={"root": "/x"}, resources=Resources(threads=4))
    others = [
        Stage(TEACHER, {"steps": 2}),
        Stage(TEACHER, {"steps": 1}, inputs={"data": "0" * 64}),
        Stage(TEACHER, {"steps": 1}, fingerprints={"sam": "1"}),
        Stage(TEACHER, {"steps": 1}, salt="cell"),
    ]
    assert stage.key == same.key
    assert len({stage.key, *(other.key for other in others)}) == 5


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
    card = toy_card()
    graph = build_graph(card.cells(), toy_planner(card))
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
    card = toy_card()
    graph = build_graph(card.cells(), toy_planner(card), share=False)
    assert len(graph.stages) == graph.naive_count == 23


def test_only_what_is_missing_is_needed() -> None:
    """A finished output needs nothing; a missing one needs its missing inputs."""
    card = toy_card()
    graph = build_graph(card.cells(), toy_planner(card))
    plan = graph.plans[0]
    scores = {p.outputs["score"] for p in graph.plans}
    assert graph.needed(lambda key: key in scores) == frozenset()
    missing = {plan.outputs["score"], plan.trial[0]}
    assert graph.needed(lambda key: key not in missing) == missing
    labels = next(iter(plan.waits_for - {graph.plans[-1].stages[0].key}))
    assert labels not in graph.needed(lambda key: key in scores - missing or key == labels)


def test_another_card_finds_the_same_teacher() -> None:
    """Cells of different cards that need the same stage have the same key for it."""
    one, two = toy_card(), toy_card(name="other", seeds=[0, 1], grid={"mask_shares": [0.1]})
    keys = [
        {s.key for s in build_graph(c.cells(), toy_planner(c)).stages.values()} for c in (one, two)
    ]
    shared_cells = 2  # none and box at 10%
    assert len(keys[0] & keys[1]) == 1 + 1 + 3 * shared_cells
