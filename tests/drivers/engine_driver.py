"""A graph of toy stages in a process of its own, for tests that kill it."""

import json
import signal
import sys
from pathlib import Path

from engine_toys import Toys, rows_of, toy_planner

from omnicost.engine.graph import Graph, build_graph
from omnicost.engine.ray.runner import RayOptions, complete
from omnicost.engine.resources import Resources
from omnicost.engine.store import Store


def toy_graph(steps: int, step_seconds: float, seeds: int = 1) -> Graph:
    recipe = {"steps": steps, "step_seconds": step_seconds, "passes": True}
    resources = {"default": Resources(cpus=1, retries=20)}
    toys = Toys(recipe=recipe, resources=resources, seeds=range(seeds))
    return build_graph(toys.targets(), toy_planner(toys))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a script starts in the background
    root, steps, step_seconds, seeds = sys.argv[1:5]
    graph = toy_graph(int(steps), float(step_seconds), int(seeds))
    end = complete(graph, Store(Path(root)), RayOptions(cpus=2))
    print(json.dumps({"failed": dict(end.failed), "rows": rows_of(Path(root), graph.plans)}))
