"""Finished cells of a store: whose pseudo-masks they learnt from, for whoever wants the data."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from omnicost.annotation import Policy
from omnicost.errors import InputError
from omnicost.sweep.store import Manifest, Store

SOURCE_PREFIX = "store:"  # of a row's source


class StoredCell(NamedTuple):
    """What a cell's student was trained on.

    Args:
        pseudomasks: folders of the pseudo-mask stages, one a weak type.
        data: fingerprint of the training split.
    """

    policy: Policy
    seed: int
    pseudomasks: tuple[Path, ...]
    data: str


def find_cell(store: Store, name: str) -> StoredCell:
    """A finished cell by the name that the sweep gives it, or by its row's source.

    Args:
        name: as ``tiny-coco/mask=0.1,point=0.9/seed=0`` or ``store:4e9b913f711ad2b3``.

    Raises:
        InputError: if the store has no such cell, or several recipes' cells of that name.
    """
    student = _student(store, name)
    roles = sorted(role for role in student.inputs if role.startswith("pseudomask."))
    return StoredCell(
        Policy.of(student.params["policy"]),
        student.params["seed"],
        tuple(store.path(student.inputs[role]) for role in roles),
        student.fingerprints["data"],
    )


def _student(store: Store, name: str) -> Manifest:
    if name.startswith(SOURCE_PREFIX):
        scores = store.manifest(store.find(name.removeprefix(SOURCE_PREFIX)))
        return store.manifest(scores.inputs.get("student", scores.key))
    manifests = [store.manifest(key) for key in store.keys()]  # noqa: SIM118
    students = [each for each in manifests if each.stage == "student"]
    found = [each for each in students if each.label == f"student {name}"]
    if len(found) == 1:
        return found[0]
    if not found:
        names = ", ".join(sorted(each.label.removeprefix("student ") for each in students))
        raise InputError("--cell", f"no student {name!r} in {store.root}", f"it has {names}")
    raise InputError(
        "--cell", f"{len(found)} students are called {name!r}", "give the source of its row"
    )
