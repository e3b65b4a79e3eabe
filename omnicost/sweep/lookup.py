"""Finished cells of a store: the pseudo-masks that they learnt from, and how those came about."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from omnicost.annotation import Policy
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.engine.graph import ParamsT, StageKind, by_role
from omnicost.engine.manifest import StageManifest
from omnicost.engine.store import Store
from omnicost.errors import InputError
from omnicost.sweep.rows import SOURCE_PREFIX
from omnicost.sweep.stages.stage_functions import PSEUDOMASK, SALVAGE, STUDENT, TEACHER
from omnicost.sweep.stages.stage_params import PseudomaskParams


class StoredCell(NamedTuple):
    """What a cell's student was trained on.

    Args:
        pseudomasks: folders of the pseudo-mask stages, one a weak type.
        chosen: folder of what chose the images with masks; None where a seeded draw did.
        noise: of the annotators.
        data: fingerprint of the training split.
    """

    policy: Policy
    seed: int
    pseudomasks: tuple[Path, ...]
    data: str
    chosen: Path | None = None
    noise: AnnotatorNoise = PERFECT


class StoredMasks(NamedTuple):
    """Pseudo-masks of one weak type.

    Args:
        after: folder of those that the cell's student learnt from.
        before: the released teachers' from the same labels, if the store has them.
        detections: what GroundingDINO proposed for them, portion by portion, if it was asked.
        data: fingerprint of the training split.
        noise: of the annotators.
        seed: of these annotators.
    """

    after: Path
    before: Path | None
    detections: tuple[Path, ...]
    data: str
    noise: AnnotatorNoise = PERFECT
    seed: int = 0


def find_cell(store: Store, name: str) -> StoredCell:
    """A finished cell by the name that the sweep gives it, or by its row's source.

    Args:
        name: as ``tiny-coco/mask=0.1,point=0.9/seed=0`` or ``store:4e9b913f711ad2b3``.

    Raises:
        InputError: if the store has no such cell, or several recipes' cells of that name.
    """
    student = _student(store, name)
    told = _told(STUDENT, store, student)
    masks = tuple(store.path(key) for key in _pseudomasks(student))
    chosen = student.inputs.get("assignment")
    folder = store.path(chosen) if chosen else None
    drawn = [_told(PSEUDOMASK, store, store.manifest(key)) for key in _pseudomasks(student)]
    noise = drawn[0].noise if drawn else PERFECT
    return StoredCell(told.policy, told.seed, masks, told.data.fingerprint, folder, noise)


def find_masks(store: Store, name: str) -> StoredMasks:
    """Pseudo-masks of a finished cell's first weak type, with what they are compared with.

    Args:
        name: as of `find_cell`.

    Raises:
        InputError: as `find_cell`, or if all images of the cell have real masks.
    """
    keys = _pseudomasks(_student(store, name))
    if not keys:
        raise InputError("`cell`", f"{name} has no pseudo-masks", "name one with a weak type")
    shown = store.manifest(keys[0])
    told = _told(PSEUDOMASK, store, shown)
    untuned = _untuned(store, shown, told)
    return StoredMasks(
        store.path(shown.key),
        store.path(untuned) if untuned else None,
        tuple(map(store.path, by_role(shown.inputs, "detections.").values())),
        told.data.fingerprint,
        told.noise,
        told.seed or 0,
    )


def _pseudomasks(student: StageManifest) -> list[str]:
    return [key for _, key in sorted(by_role(student.inputs, "pseudomask.").items())]


def _untuned(store: Store, shown: StageManifest, told: PseudomaskParams) -> str | None:
    """The released teachers' pseudo-masks from the same labels, if a sweep made them."""
    for found in store.manifests():
        params = PSEUDOMASK.read(found.stage, found.params)
        if (
            params is not None
            and found.key != shown.key
            and _labels_of(params) == _labels_of(told)
            and params.seed in (None, told.seed)
            and _is_released(store, found)
        ):
            return found.key
    return None


def _labels_of(told: PseudomaskParams) -> tuple[object, ...]:
    """What pseudo-masks are drawn from, whatever the teacher and the share."""
    data, sam = told.data.fingerprint, told.sam.fingerprint
    return data, sam, told.annotation, told.config.identity(), told.noise


def _is_released(store: Store, masks: StageManifest) -> bool:
    teachers = map(store.manifest, by_role(masks.inputs, "teacher.").values())
    read = (TEACHER.read(teacher.stage, teacher.params) for teacher in teachers)
    return all(told is not None and told.tuning is None for told in read)


def _told(kind: StageKind[ParamsT], store: Store, manifest: StageManifest) -> ParamsT:
    told = kind.read(manifest.stage, manifest.params)
    if told is None:
        problem = f"{manifest.label} was made by another version of omnicost"
        raise InputError(store.root, problem, "run its sweep again")
    return told


def _student(store: Store, name: str) -> StageManifest:
    if name.startswith(SOURCE_PREFIX):
        scores = store.manifest(store.find(name.removeprefix(SOURCE_PREFIX)))
        if scores.stage == SALVAGE.name:
            problem = f"{scores.label} was stopped early: its student is not in the store"
            raise InputError("`cell`", problem, "name a finished cell")
        return store.manifest(scores.inputs.get("student", scores.key))
    students = [each for each in store.manifests() if each.stage == STUDENT.name]
    found = [each for each in students if each.label == f"student {name}"]
    if len(found) == 1:
        return found[0]
    if not found:
        names = ", ".join(sorted(each.label.removeprefix("student ") for each in students))
        raise InputError("`cell`", f"no student {name!r} in {store.root}", f"it has {names}")
    raise InputError(
        "`cell`", f"{len(found)} students are called {name!r}", "give the source of its row"
    )
