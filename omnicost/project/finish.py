"""Fills the folder of a model whose training is finished."""

from __future__ import annotations

import json
import shutil
from typing import Any

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.data.exports.coco import write_coco_json
from omnicost.data.exports.merged import Merged, read_pseudomasks
from omnicost.data.splits import assign
from omnicost.engine.execute import package_versions
from omnicost.engine.graph import by_role
from omnicost.engine.store import Store
from omnicost.files import MARK, refuse_to_replace, whole_file, write_text
from omnicost.pipeline.quality.calibration import read_figures
from omnicost.progress import Progress, silent
from omnicost.project.model_folder import (
    STUDENT,
    ModelDescription,
    refuse_to_replace_model,
    write_description,
)
from omnicost.project.outcome import FIGURES, MERGED, PAGE, TrainingOutcome, write_page
from omnicost.project.score import HeldOutAp, score_held_out
from omnicost.project.train import CARD, Training, TrainRequest
from omnicost.project.worst import WORST, draw_worst


def refuse_outputs(request: TrainRequest) -> None:
    """Refuse a training whose folder holds somebody else's files where its own would go.

    Raises:
        InputError: naming the first.
    """
    pictures = (f"{WORST}/{annotation}.png" for annotation in AnnotationType)
    for name in (CARD, MERGED, FIGURES, PAGE, *pictures):
        refuse_to_replace(request.out / name, force=request.force)
    refuse_to_replace_model(request.out, request.force)


def write_outcome(training: Training, store: Store, progress: Progress = silent) -> TrainingOutcome:
    """Fill the folder of a model whose student is in the store.

    Raises:
        InputError: if a file there is somebody else's.
    """
    request, plan = training.request, training.plan
    out, sources = request.out, training.prepared.sources
    refuse_outputs(request)
    train = sources.dataset(plan.target.dataset, plan.target.dataset.train)
    assert train is not None  # it was trained on
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / STUDENT) as part:
        shutil.copyfile(store.path(plan.outputs["student"]) / STUDENT, part)
    description = ModelDescription(
        class_names=train.class_names,
        category_ids=tuple(train.category_ids.tolist()),
        cell=plan.target.id,
        versions=package_versions(),
    )
    write_description(out, description)
    write_text(out / CARD, training.card)
    merged = _merged(training, store, train)
    outcome = TrainingOutcome(
        out,
        training.counts,
        write_coco_json(out / MERGED, train, merged.annotations(progress)),
        tuple(merged.unmasked()),
        _scored(training, progress),
        _quality(training, store),
    )
    told = {"info": MARK, **outcome.as_json()}
    write_text(out / FIGURES, json.dumps(told, indent=1, allow_nan=False) + "\n")
    pictures = draw_worst(out / WORST, train, training, store, outcome.quality)
    write_page(out / PAGE, training, outcome, pictures)
    return outcome


def _merged(training: Training, store: Store, train: Dataset) -> Merged:
    """With the pseudo-masks that the student learnt from; none where all masks are real."""
    inputs = store.manifest(training.plan.outputs["student"]).inputs
    drawn = [store.path(key) for key in by_role(inputs, "pseudomask.").values()]
    strengths = assign(train, training.policy, training.request.seed)
    return Merged(train, strengths, read_pseudomasks(drawn))


def _quality(training: Training, store: Store) -> dict[str, dict[str, Any]]:
    judged = by_role(training.plan.outputs, "calibration.")
    return {each: read_figures(store.path(key)) for each, key in judged.items()}


def _scored(training: Training, progress: Progress) -> HeldOutAp | None:
    spec = training.plan.target.dataset
    if not training.held_out:
        return None
    dataset = training.prepared.sources.dataset(spec.validation, spec.val)
    assert dataset is not None  # it was opened to plan
    return score_held_out(dataset, training.request.out / STUDENT, progress=progress)
