"""What a finished training leaves in its folder: the model, merged labels, figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.data.exports.coco import write_coco_json
from omnicost.data.exports.merged import Empty, Merged, PseudoMasks, read_pseudomasks
from omnicost.data.splits import assign
from omnicost.engine.execute import package_versions
from omnicost.engine.graph import by_role
from omnicost.engine.store import Store
from omnicost.files import MARK, refuse_to_replace, write_text
from omnicost.progress import Progress, silent
from omnicost.project.model_folder import STUDENT, ModelDescription, write_description
from omnicost.project.score import HeldOutAp, score_held_out
from omnicost.project.train import Training

MERGED: Final = "merged.json"
FIGURES: Final = "figures.json"


class Outcome(NamedTuple):
    """What was written and measured.

    Args:
        instances: in the merged labels, by where their mask comes from.
        empty: labels whose pseudo-mask has no pixel.
    """

    folder: Path
    labels: dict[str, int]
    instances: dict[str, int]
    empty: tuple[Empty, ...]
    held_out: HeldOutAp | None

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        held_out = None if self.held_out is None else self.held_out._asdict()
        empty = [each._asdict() for each in self.empty]
        told = {"folder": str(self.folder), "held_out": held_out, "empty": empty}
        return {**self._asdict(), **told}

    def lines(self) -> list[str]:
        """As lines for a terminal."""
        masks = ", ".join(f"{number} {source}" for source, number in self.instances.items())
        lines = [_score_line(self.held_out), f"instances by source of their mask: {masks}"]
        if self.empty:
            some = "; ".join(f"image {e.image_id}, {e.class_name}" for e in self.empty[:5])
            lines.append(f"without a mask: {len(self.empty)} labels ({some})")
        lines.append(f"model: {self.folder} (omnicost predict {self.folder} PHOTOS)")
        return lines


def _score_line(held_out: HeldOutAp | None) -> str:
    if held_out is None or held_out.ap is None:
        return "AP: not known, no image with masks was held out (--val names a set)"
    told = f"AP {held_out.ap:.1f}"
    if held_out.low is not None and held_out.high is not None:
        told += f" ({held_out.low:.1f} to {held_out.high:.1f} in 80% of such image sets)"
    return f"{told} on {held_out.images} held-out images with {held_out.instances} instances"


def write_outcome(training: Training, store: Store, progress: Progress = silent) -> Outcome:
    """Fill the folder of a model whose student is in the store.

    Raises:
        InputError: if a file there is somebody else's.
    """
    request, plan = training.request, training.plan
    out, sources = request.out, training.prepared.sources
    for name in (MERGED, FIGURES):
        refuse_to_replace(out / name, force=request.force)
    train = sources.dataset(plan.target.dataset, plan.target.dataset.train)
    assert train is not None  # it was trained on
    shutil.copyfile(store.path(plan.outputs["student"]) / STUDENT, out / STUDENT)
    write_description(out, _description(train, plan.target.id))
    pseudo = pseudomasks_of(store, store.manifest(plan.outputs["student"]).inputs)
    merged = Merged(train, assign(train, training.policy, request.seed), pseudo)
    instances = write_coco_json(out / MERGED, train, merged.annotations(progress))
    empty = tuple(without_mask(train, merged))
    outcome = Outcome(out, training.counts, instances, empty, _scored(training, progress))
    told = {"info": MARK, **outcome.as_json()}
    write_text(out / FIGURES, json.dumps(told, indent=1, allow_nan=False) + "\n")
    return outcome


def without_mask(train: Dataset, merged: Merged) -> Iterator[Empty]:
    """The labelled instances that no pseudo-mask with a pixel was drawn for."""
    drawn = set(np.asarray(merged.pseudo.annotation_ids).tolist())
    drawn -= {each.annotation_id for each in merged.empty()}
    for index in np.flatnonzero(~merged.is_human).tolist():
        if train.given is None or train.given[index] < AnnotationType.POINT.strength:
            continue  # tags have no instances
        found = train.instances(index)
        for n, annotation in enumerate(found.annotation_ids.tolist()):
            if annotation not in drawn:
                name = train.class_names[int(found.class_indices[n])]
                yield Empty(int(train.image_ids[index]), annotation, name)


def pseudomasks_of(store: Store, inputs: dict[str, str]) -> PseudoMasks:
    """The pseudo-masks that a student with these inputs learnt from; none for real masks alone."""
    folders = [store.path(key) for key in by_role(inputs, "pseudomask.").values()]
    return read_pseudomasks(folders)


def _description(train: Dataset, cell: str) -> ModelDescription:
    return ModelDescription(
        class_names=train.class_names,
        category_ids=tuple(train.category_ids.tolist()),
        cell=cell,
        versions=package_versions(),
    )


def _scored(training: Training, progress: Progress) -> HeldOutAp | None:
    spec = training.plan.target.dataset
    if not training.held_out:
        return None
    dataset = training.prepared.sources.dataset(spec.validation, spec.val)
    assert dataset is not None  # it was opened to plan
    return score_held_out(dataset, training.request.out / STUDENT, progress=progress)
