"""From a cell's artefacts to its row, and rows to their file.

`RESULT_FIELDS` are the measured result, equal bit for bit over two cold runs of one seed; the
other fields say how long it took, where, and with which versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from omnicost.annotation import AnnotationType
from omnicost.cost import hours, seconds_per_image
from omnicost.data.splits import assign
from omnicost.engine.execute import package_versions
from omnicost.engine.keys import canonical_json, digest
from omnicost.engine.store import Store
from omnicost.files import write_text
from omnicost.models.loading import WeightsRole
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.evaluate import METRICS
from omnicost.results import Row, TeacherRow, append_row, f1_percent, read_rows, read_teacher_rows
from omnicost.sweep.cards.card import Cell, recipe_of
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan

_HOW_FIELDS: Final = frozenset({"wall_seconds", "device_seconds", "versions", "source"})
RESULT_FIELDS: Final = tuple(name for name in Row.model_fields if name not in _HOW_FIELDS)
DEFAULT_VARIANT: Final = "default"
SOURCE_PREFIX: Final = "store:"  # of a row's source; the key of its scores follows
_FIGURES: Final = {
    "ap": "AP",
    "ap_small": "AP_S",
    "ap_medium": "AP_M",
    "ap_large": "AP_L",
    "ap50": "AP50",
    "ap75": "AP75",
}


def row_of(
    plan: CellPlan, store: Store, sources: Sources, stopped_scores: str | None = None
) -> Row:
    """The row of a cell whose outputs are all in the store.

    Args:
        stopped_scores: key of the scores of a student that was stopped; the row is truncated.
    """
    cell = plan.target
    scores = stopped_scores or plan.outputs["evaluate"]
    dataset = sources.dataset(cell.dataset, cell.dataset.train)
    assert dataset is not None  # a cell without data cannot have run
    metrics = read_metrics(store, scores)
    seconds = seconds_per_image(cell.policy, dataset.stats())
    trunk = recipe_of(cell).student.trunk
    chosen = plan.outputs.get("assignment")
    folder = store.path(chosen) if chosen else None
    strengths = assign(dataset, cell.policy, cell.seed, folder)
    return Row(
        dataset=cell.dataset.name,
        policy=cell.policy,
        seed=cell.seed,
        variant=cell.variant or DEFAULT_VARIANT,
        config_hash=config_hash(cell, sources),
        schedule=cell.schedule,
        trunk=None if trunk is None else str(trunk),
        **_teacher_figures(plan, store),
        images=len(dataset),
        masks=int((strengths == AnnotationType.MASK.strength).sum()),
        seconds_per_image=seconds,
        hours=hours(seconds * len(dataset)),
        truncated=stopped_scores is not None,
        source=f"{SOURCE_PREFIX}{scores[:16]}",
        **{field: metrics[name] for field, name in _FIGURES.items()},
        **_effort(plan, store),
    )


def teacher_rows_of(plan: CellPlan, store: Store, sources: Sources) -> list[TeacherRow]:
    """A row for each annotation type whose pseudo-masks a cell made."""
    cell = plan.target
    figures = read_metrics(store, plan.outputs["quality"])
    dataset = sources.dataset(cell.dataset, cell.dataset.train)
    assert dataset is not None  # a cell without data cannot have run
    return [
        TeacherRow(
            dataset=cell.dataset.name,
            policy=cell.policy.as_dict(),
            seed=cell.seed,
            variant=cell.variant or DEFAULT_VARIANT,
            config_hash=config_hash(cell, sources),
            schedule=cell.schedule,
            annotation=annotation,
            miou=own.get("mIoU"),
            precision50=own.get("precision50"),
            recall50=own.get("recall50"),
            f1=own.get("f1_50"),
            images=len(dataset),
        )
        for annotation, own in figures.items()
    ]


def read_metrics(store: Store, key: str) -> dict[str, Any]:
    """The figures of an artefact of the evaluate or quality stage.

    Raises:
        InputError: if they are not what the stage wrote.
    """
    return json.loads(store.read(key, METRICS))


def headline(plan: CellPlan, store: Store) -> str:
    """The one figure of a finished cell, for whoever watches."""
    key = plan.outputs.get("evaluate")
    return "" if key is None else f"AP {read_metrics(store, key)['AP']:.1f}"


def config_hash(cell: Cell, sources: Sources) -> str:
    """Identifies how the cell was made, whatever its data, policy and seed: recipe and weights."""
    recipe = recipe_of(cell)
    models = {
        role: sources.weights(getattr(recipe.models, role), role).fingerprint
        for role in get_args(WeightsRole)
        if getattr(recipe.models, role) != NO_START
    }
    noise = recipe.noise.model_dump(mode="json")
    return digest({"recipe": {**recipe.identity(), "noise": noise}, "models": models})[:16]


def _teacher_figures(plan: CellPlan, store: Store) -> dict[str, Any]:
    """Mean IoU over instances, where labels have them, and F1, over all weakly labelled images."""
    if "quality" not in plan.outputs:
        return {}
    figures = read_metrics(store, plan.outputs["quality"]).values()
    known = [(own["mIoU"], own["instances"]) for own in figures if own.get("mIoU") is not None]
    instances = sum(count for _, count in known)
    counts = [sum(own[name] for own in figures) for name in ("hits", "masks", "instances")]
    return {
        "teacher_miou": sum(m * count for m, count in known) / instances if instances else None,
        "teacher_f1": f1_percent(*counts),
    }


def _effort(plan: CellPlan, store: Store) -> dict[str, Any]:
    """Wall time of the cell's own stages, device time of all it needs, whole; each attempt."""
    manifests = {s.key: store.manifest(s.key) for s in plan.stages if store.has(s.key)}
    own = [manifests[key] for key in plan.trial if key in manifests]
    if not own:  # a stopped student
        return {"versions": package_versions()}
    return {
        "wall_seconds": sum(manifest.whole_seconds for manifest in own),
        "device_seconds": sum(m.device_seconds for m in manifests.values()),
        "versions": own[0].versions,
    }


def record_row(path: Path, row: Row) -> None:
    """Have the row in its file: appended, or in place of an older one of the same cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = existing_rows(path)
    own = [other for other in rows if _identity(other) == _identity(row)]
    if not own:
        append_row(path, row)
    elif own != [row]:
        kept = [other for other in rows if other not in own]
        _rewrite(path, [other.model_dump_json(exclude_none=True) for other in [*kept, row]])


def existing_rows(path: Path) -> list[Row]:
    """The rows of a file that a sweep is to add to; none if it is not there yet.

    Raises:
        InputError: if it holds something else.
    """
    return read_rows(path, may_be_empty=True) if path.exists() else []


def _identity(row: Row) -> tuple[Any, ...]:
    return (row.dataset, row.policy, row.seed, row.variant, row.config_hash, row.schedule)


def write_teacher_rows(path: Path, rows: Sequence[TeacherRow]) -> None:
    """Write the rows of a card that measures teachers, in place of older ones of the same cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    anew = set(map(_teacher_identity, rows))
    before = read_teacher_rows(path) if path.exists() else []
    kept = [row for row in before if _teacher_identity(row) not in anew]
    _rewrite(path, [row.model_dump_json() for row in [*kept, *rows]])


def _teacher_identity(row: TeacherRow) -> str:
    figures = {"miou", "precision50", "recall50", "f1", "images"}
    return canonical_json(row.model_dump(mode="json", exclude=figures))


def _rewrite(path: Path, lines: Sequence[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def results_path(folder: Path, card_name: str, measure: str) -> Path:
    """Where a card's rows go."""
    return folder / (f"{card_name}.jsonl" if measure == "student" else f"{card_name}.teacher.jsonl")


def same_results(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows, as plain data, agree in every field that is a result."""
    return all(
        canonical_json(one.get(name)) == canonical_json(other.get(name)) for name in RESULT_FIELDS
    )
