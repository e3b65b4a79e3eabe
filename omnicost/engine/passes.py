"""Several stages in one pass: what they read in common is read, and encoded, once.

Each stage keeps its own lease, log, record, work folder, manifest and artefact, and its own task,
which waits for the pass and then finds the artefact. Whatever a pass leaves undone, because it
failed or because an input was not there, that task computes alone, from the parts that the pass
left in the stage's work folder.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress

from omnicost.engine.execute import Attempt, failure_for, logged, params_of, prepare_process
from omnicost.engine.graph import Stage
from omnicost.engine.lease import Lease
from omnicost.engine.store import Store
from omnicost.errors import StageError

Pass = tuple[Stage, ...]


def passes_of(stages: Iterable[Stage]) -> tuple[Pass, ...]:
    """The passes that the stages make; a stage that would be alone in its own is in none."""
    groups: dict[object, list[Stage]] = defaultdict(list)
    for stage in stages:
        if stage.pass_group and stage.kind.pass_function:
            groups[stage.kind, stage.pass_group, stage.resources].append(stage)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def execute_pass(store: Store, stages: Sequence[Stage]) -> tuple[str, ...]:
    """Compute in one pass those of the stages that can start and that nobody else computes.

    Never waits. If the pass raises, the reason is in the stages' logs and nothing is published.
    Time is shared out by the stages' units, so that the manifests' seconds add up to the pass.

    Returns:
        keys of the stages that were published; none where fewer than two could start.
    """
    with suppress(StageError), ExitStack() as held:
        claimed = list(_claims(store, stages, held))
        if len(claimed) < 2:
            return ()
        _share_out(claimed)
        attempts = [held.enter_context(Attempt(store, *claim)) for claim in claimed]
        _compute(store, attempts)
        return tuple(_published(attempts))
    return ()


def _claims(
    store: Store, stages: Sequence[Stage], held: ExitStack
) -> Iterator[tuple[Stage, Lease]]:
    """The stages that can start, each with a lease that is given up at the latest with `held`."""
    for stage in stages:
        if store.has(stage.key) or not all(map(store.has, stage.inputs.values())):
            continue
        if params_of(store, stage) != stage.params:  # half a batch: with the others' whole, alone
            continue
        lease = store.locks.try_acquire(stage.key)
        if lease is None:
            continue
        held.callback(store.locks.release, lease)
        if store.has(stage.key):
            store.locks.release(lease)
        else:
            yield stage, lease


def _share_out(claimed: Sequence[tuple[Stage, Lease]]) -> None:
    """Give each stage its part of the time: by units where all are known, else equal ones."""
    weights = [stage.units or 0.0 for stage, _ in claimed]
    if not all(weights):
        weights = [1.0] * len(claimed)
    for (_, lease), weight in zip(claimed, weights, strict=True):
        lease.share = weight / sum(weights)


def _compute(store: Store, attempts: Sequence[Attempt]) -> None:
    """Call the stages' common function.

    Raises:
        StageError: told apart as a stage's own, so that the record says what starved; in the logs.
    """
    stages = [attempt.stage for attempt in attempts]
    compute = stages[0].kind.pass_function
    assert compute is not None  # `passes_of` makes none of such stages
    with logged(store, stages):
        try:
            prepare_process(stages[0])
            compute([attempt.context() for attempt in attempts])
        except Exception as error:
            traceback.print_exc()
            raise failure_for(error)(f"pass of {len(stages)} stages: {error}") from None


def _published(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Publish every attempt that can be; one that cannot has failed and takes no other along."""
    for attempt in attempts:
        try:
            attempt.publish()
        except Exception:
            with attempt.store.log(attempt.stage.key).open("a") as log:
                traceback.print_exc(file=log)
        else:
            yield attempt.stage.key
