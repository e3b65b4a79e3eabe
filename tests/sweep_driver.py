"""A sweep of toy stages in a process of its own, for tests that kill it."""

import json
import signal
import sys
from pathlib import Path

from sweep_toys import rows_of, toy_card, toy_planner

from omnicost.engine.graph import Graph, build_graph
from omnicost.engine.ray.runner import RunOptions, run_graph
from omnicost.engine.store import Store


def toy_graph(steps: int, step_seconds: float, seeds: int = 1) -> Graph:
    recipe = {"steps": steps, "step_seconds": step_seconds, "passes": True}
    resources = {"default": {"cpus": 1, "retries": 20}}
    card = toy_card(recipe=recipe, resources=resources, seeds=list(range(seeds)))
    return build_graph(card.cells(), toy_planner(card))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a script starts in the background
    root, steps, step_seconds, seeds = sys.argv[1:5]
    graph = toy_graph(int(steps), float(step_seconds), int(seeds))
    end = run_graph(graph, Store(Path(root)), RunOptions(cpus=2))
    print(json.dumps({"failed": dict(end.failed), "rows": rows_of(Path(root), graph.plans)}))
