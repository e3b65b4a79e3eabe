"""From a set with given labels to a model: the paper's method on the labels that people made.

One cell of a sweep, whose policy is what the images have. It runs on the sweep's engine, so it
resumes, shares stages through the store, and runs on a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from omnicost.annotation import Policy
from omnicost.data import Dataset
from omnicost.data.given_labels import given_policy
from omnicost.data.readers.layouts import splits_in
from omnicost.errors import ConfigError, InputError
from omnicost.files import MARK
from omnicost.sweep.cards.card import Card, DatasetSpec, Grid
from omnicost.sweep.cards.read_card import Changes, load_card
from omnicost.sweep.launch import Prepared, prepare_card
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan

CARD: Final = "card.yaml"
LEAST_HELD_OUT: Final = 5  # images with masks, under which an AP says nothing


@dataclass(frozen=True)
class TrainRequest:
    """What to train on, and how.

    Args:
        labelled: a set with given labels: folder or COCO file.
        out: folder of the model, which is made.
        base: the card whose recipe, models and resources serve: ``paper``, ``tiny``, or a path.
        validation: a set with masks to score on; without it a fifth of the masked images.
        settings: changes of the card, as of ``omnicost sweep --set``.
        force: replace files in `out` that omnicost did not write.
    """

    labelled: Path
    out: Path
    base: str = "paper"
    validation: Path | None = None
    settings: tuple[str, ...] = ()
    seed: int = 0
    smoke: bool = False
    force: bool = False


@dataclass(frozen=True)
class Training:
    """A training that is planned.

    Args:
        policy: shares of the images by what they were given.
        counts: images by annotation type.
        held_out: images that score the model; 0 if there are too few.
        card: text of the card that says what runs.
    """

    request: TrainRequest
    prepared: Prepared
    policy: Policy
    counts: dict[str, int]
    held_out: int
    card: str

    @property
    def plan(self) -> CellPlan:
        """Its one cell."""
        return self.prepared.graph.plans[0]


def prepare_training(request: TrainRequest, sources: Sources) -> Training:
    """Read the set, plan the stages; nothing is written yet.

    Raises:
        InputError: if the set has no given labels.
    """
    if splits_in(request.labelled) != ("all",):
        problem = "has splits of its own, not one file of given labels"
        raise InputError(request.labelled, problem, "import labels with omnicost data import")
    spec = DatasetSpec(name=str(request.labelled.absolute()))
    everything = _opened(sources, spec, "all")
    scored = _validation(request, sources, spec)
    if request.validation is not None or scored is None:
        spec = spec.model_copy(update={"train": "all"})
    train = _opened(sources, spec, spec.train)
    _require_same_classes(train, scored)
    policy = given_policy(train)
    text = _card_text(request, spec, policy, scored is not None)
    return Training(
        request,
        prepare_card(_only_policy(_read_card(text, request), policy), sources),
        policy,
        everything.types() or {},
        len(scored) if scored is not None else 0,
        text,
    )


def _read_card(text: str, request: TrainRequest) -> Card:
    """The card of that text; its file goes into the model's folder only with the model."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / CARD
        path.write_text(text, encoding="utf-8")
        try:
            return load_card(path, Changes(request.settings, smoke=request.smoke))
        except InputError as error:
            where = error.where.replace(str(path), CARD)
            raise InputError(where, error.problem, error.remedy) from None
        except ConfigError as error:
            raise ConfigError(error.where.replace(str(path), CARD), error.faults) from None


def _validation(request: TrainRequest, sources: Sources, spec: DatasetSpec) -> Dataset | None:
    """What the model is scored on; None where nothing, or too little, has masks."""
    if request.validation is not None:
        named = DatasetSpec(name=str(request.validation.absolute()))
        return _opened(sources, named, _scoring_split(request.validation))
    held_out = _opened(sources, spec, "val")
    return held_out if len(held_out) >= LEAST_HELD_OUT else None


def _scoring_split(path: Path) -> str:
    """Everything of a set in one file; of others the part for validation."""
    splits = splits_in(path)
    return splits[0] if splits == ("all",) else "val"


def _require_same_classes(train: Dataset, scored: Dataset | None) -> None:
    if scored is not None and scored.class_names != train.class_names:
        problem = (
            f"has the classes {', '.join(scored.class_names[:5])}..., not those of {train.name}"
        )
        raise InputError(scored.name, problem, "give both sets the same categories in one order")


def _opened(sources: Sources, spec: DatasetSpec, split: str) -> Dataset:
    dataset = sources.dataset(spec, split)
    if dataset is None:
        raise sources.missing[spec.name]
    return dataset


def _card_text(request: TrainRequest, spec: DatasetSpec, policy: Policy, scored: bool) -> str:
    """The card of this training, which `omnicost sweep` would run as well."""
    dataset: dict[str, Any] = {"name": spec.name, "train": spec.train}
    if request.validation is not None:
        split = _scoring_split(request.validation)
        dataset |= {"scored_on": str(request.validation.absolute()), "val": split}
    is_file = request.base.endswith((".yaml", ".yml"))
    base = str(Path(request.base).absolute()) if is_file else request.base
    content = {
        "base": base,
        "name": "train",
        "datasets": [dataset],
        "grid": {"mask_shares": [], "types": [], "policies": [policy.as_dict()]},
        "seeds": [request.seed],
        "crossfit": True,
        "measure": "student" if scored else "model",
    }
    return f"# {MARK}: what `omnicost train` ran\n{yaml.safe_dump(content, sort_keys=False)}"


def _only_policy(card: Card, policy: Policy) -> Card:
    """The card without cells that a base or its smoke part adds, on all the labels given."""
    policies = [policy.as_dict()]
    grid = Grid.model_validate({"mask_shares": [], "types": [], "policies": policies})
    whole = tuple(each.model_copy(update={"images": None}) for each in card.datasets)
    return card.model_copy(update={"grid": grid, "datasets": whole})
