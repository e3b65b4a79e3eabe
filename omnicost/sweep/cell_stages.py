"""The real pipeline as stages: which ones a cell needs, and what identifies each.

A stage's parameters are exactly what can change its output; what only says where or how fast is
among its settings. The functions that run them are in `omnicost.sweep.stage_functions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from pydantic import ValidationError

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.weak import PERFECT
from omnicost.engine.graph import CellPlan, Stage, StageBook, StageKind
from omnicost.engine.keys import canonical_json, digest
from omnicost.errors import ConfigError, faults_of
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.sweep.card import Card, Cell
from omnicost.sweep.estimate import uncached_share
from omnicost.sweep.sources import Sources, WeightsKind, from_anywhere, location

EMBED: Final = StageKind("embed", 2, "omnicost.sweep.stage_functions:embed")
DETECT: Final = StageKind("detect", 1, "omnicost.sweep.stage_functions:detect")
TEACHER: Final = StageKind("teacher", 2, "omnicost.sweep.stage_functions:teacher")
PSEUDOMASK: Final = StageKind(
    "pseudomask",
    1,
    "omnicost.sweep.stage_functions:pseudomask",
    pass_function="omnicost.sweep.stage_functions:pseudomasks",
)
QUALITY: Final = StageKind("quality", 2, "omnicost.sweep.stage_functions:quality")
STUDENT: Final = StageKind("student", 1, "omnicost.sweep.stage_functions:student")
EVALUATE: Final = StageKind("evaluate", 1, "omnicost.sweep.stage_functions:evaluate")
SALVAGE: Final = StageKind("salvage", 1, "omnicost.sweep.stage_functions:evaluate_stopped")

# Applied when proposals are used, so that changing them detects nothing anew.
_LATE_DETECT_FIELDS: Final = ("threshold", "nms_iou", "nms")
_CAPTIONED: Final = (AnnotationType.NONE, AnnotationType.CLASS, AnnotationType.POINT)


def recipe_of(cell: Cell) -> Recipe:
    """The cell's recipe, checked.

    Raises:
        ConfigError: with every fault of it.
    """
    return _recipe(canonical_json(dict(cell.recipe)))


@lru_cache(maxsize=256)
def _recipe(text: str) -> Recipe:
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError("recipe", faults_of(error)) from None


def planner(card: Card, sources: Sources) -> Any:
    """The card's `Planner`: a cell and a salt to the cell's plan."""

    def plan(cell: Cell, salt: str) -> CellPlan:
        book = StageBook(card.resources, salt)
        return _CellStages(cell, recipe_of(cell), sources, book, card.passes).plan()

    return plan


@dataclass(frozen=True)
class _CellStages:
    """Writes down the stages of one cell."""

    cell: Cell
    recipe: Recipe
    sources: Sources
    book: StageBook
    passes: str

    def plan(self) -> CellPlan:
        policy = self.cell.policy
        pseudo = {kind: self._pseudomask(kind) for kind in policy.weak_types}
        outputs = {"quality": self._quality(pseudo).key} if pseudo else {}
        if self.cell.measure == "teacher":
            return CellPlan(self.cell, self.book.stages, (), outputs)
        student = self._student(pseudo)
        evaluate = self._evaluate(student)
        outputs |= {"student": student.key, "evaluate": evaluate.key}
        trial = (student.key, evaluate.key)
        return CellPlan(self.cell, self.book.stages, trial, outputs, self._salvage(student))

    @cached_property
    def _data(self) -> str:
        return self.sources.data_fingerprint(self.cell.dataset, self.cell.dataset.train)

    @property
    def _train_images(self) -> int | None:
        return self.sources.images(self.cell.dataset, self.cell.dataset.train)

    def _model(self, kind: WeightsKind) -> str:
        return self.sources.model_fingerprint(getattr(self.recipe.models, kind), kind)

    def _settings(self, **more: Any) -> dict[str, Any]:
        spec = self.cell.dataset
        recipe = self.recipe.model_dump(mode="json")
        recipe["models"] = {kind: from_anywhere(name) for kind, name in recipe["models"].items()}
        return {
            "train": location(spec, spec.train, self.sources.cache),
            "val": location(spec, spec.val, self.sources.cache),
            "recipe": recipe,
            **more,
        }

    def _embed(self) -> Stage | None:
        if self.recipe.embed.limit_gigabytes == 0:
            return None
        return self.book.add(
            EMBED,
            self.recipe.embed.identity(),
            fingerprints={"data": self._data, "sam": self._model("sam")},
            settings=self._settings(),
            label=f"embed {self.cell.dataset.name}",
            units=self._train_images,
        )

    def _detect(self, kind: AnnotationType) -> Stage:
        config = self.recipe.detect.identity()
        params: dict[str, Any] = {k: v for k, v in config.items() if k not in _LATE_DETECT_FIELDS}
        params["mode"] = "all" if kind is AnnotationType.NONE else "present"
        annotation = str(AnnotationType.CLASS)
        if params["mode"] == "present" and self.recipe.noise != PERFECT:
            annotation = str(kind)  # only faults make the tags of points differ from plain tags
            params |= {"annotation": annotation, "noise": self._noise, "seed": self.cell.seed}
        return self.book.add(
            DETECT,
            params,
            fingerprints={"data": self._data, "detector": self._model("detector")},
            settings=self._settings(annotation=annotation, seed=self.cell.seed),
            label=f"detect {self.cell.dataset.name} {params['mode']}",
            units=self._train_images,
        )

    @property
    def _noise(self) -> dict[str, Any]:
        return self.recipe.noise.model_dump(mode="json")

    @property
    def _is_released(self) -> bool:
        """Whether the released weights serve, whatever is labelled."""
        config = self.recipe.teacher
        return not (config.tune and config.steps and self.cell.policy.mask_share)

    def _teacher(self, kind: TeacherKind, embed: Stage | None) -> Stage:
        share, seed = self.cell.policy.mask_share, self.cell.seed
        if self._is_released:
            return self.book.add(
                TEACHER,
                {"kind": str(kind), "released": True},
                fingerprints={"sam": self._model("sam")},
                settings=self._settings(),
                label=f"teacher {kind} released",
                units=0,
            )
        params = {
            "kind": str(kind),
            "config": self.recipe.teacher.identity(),
            "mask_share": share,
            "seed": seed,
        }
        if embed is None:
            params["embed"] = self.recipe.embed.identity()
        fingerprints = {"data": self._data, "sam": self._model("sam")}
        if kind.class_aware:
            fingerprints["text"] = self._model("text")
        return self.book.add(
            TEACHER,
            params,
            inputs={} if embed is None else {"embed": embed},
            fingerprints=fingerprints,
            settings=self._settings(),
            label=f"teacher {kind} {self.cell.dataset.name} mask={share:g} seed={seed}",
            units=self.recipe.teacher.steps * self.recipe.teacher.batch_images,
        )

    def _pseudomask(self, kind: AnnotationType) -> Stage:
        """Pseudo-masks of one weak type.

        Released weights know nothing of shares: where there is one weak type they label every
        image, and serve all mask shares, since students let real masks override.
        """
        embed = self._embed()
        teachers = self.recipe.teachers(kind)
        inputs = {f"teacher.{role}": self._teacher(k, embed) for role, k in teachers.items()}
        if embed is not None:
            inputs["embed"] = embed
        params: dict[str, Any] = {
            "annotation": str(kind),
            "config": self.recipe.pseudomask.identity(),
            "policy": self._labelled_policy(kind).as_dict(),
            "noise": self._noise,
        }
        if embed is None:
            params["embed"] = self.recipe.embed.identity()
        if kind in _CAPTIONED and (kind is not AnnotationType.POINT or self.recipe.refine.enabled):
            inputs["detections"] = self._detect(kind)
        if kind is AnnotationType.POINT:
            params["refine"] = self.recipe.refine.identity()
        elif kind in _CAPTIONED:
            config = self.recipe.detect.identity()
            params["detect"] = {name: config[name] for name in _LATE_DETECT_FIELDS}
        if self._needs_seed(kind):
            params["seed"] = self.cell.seed
        fingerprints = {"data": self._data, "sam": self._model("sam")}
        if any(teacher.class_aware for teacher in teachers.values()) and not self._is_released:
            fingerprints["text"] = self._model("text")
        return self.book.add(
            PSEUDOMASK,
            params,
            inputs=inputs,
            fingerprints=fingerprints,
            settings=self._settings(seed=self.cell.seed),
            label=f"pseudo-masks {self._labelled_policy(kind)} {self.cell.dataset.name}",
            units=_share_of(self._train_images, self._labelled_policy(kind)[kind]),
            pass_group=self._pass_group(),
        )

    def _pass_group(self) -> str:
        """What pseudo-masks of one pass have in common; empty where each runs alone.

        Tuned teachers of one share and seed are ready at about the same time; released ones at
        once, so that they wait for no training.
        """
        settings = self._settings()
        is_cached = not uncached_share(settings, self._train_images or 0)
        if self.passes == "never" or (self.passes == "auto" and is_cached):
            return ""
        models, embed = self.recipe.models, self.recipe.embed.model_dump(mode="json")
        ready = "released" if self._is_released else [self.cell.policy.mask_share, self.cell.seed]
        read = [self._data, settings["train"], models.sam, models.text, embed]
        return digest([*read, self.recipe.pseudomask.model_dump(mode="json"), ready])

    def _labelled_policy(self, kind: AnnotationType) -> Policy:
        policy = self.cell.policy
        alone = len(policy.weak_types) == 1
        return Policy.of({kind: 1.0}) if self._is_released and alone else policy

    def _needs_seed(self, kind: AnnotationType) -> bool:
        drawn = kind is AnnotationType.POINT or self.recipe.noise != PERFECT
        return drawn or len(self._labelled_policy(kind).shares) > 1

    def _quality(self, pseudo: Mapping[AnnotationType, Stage]) -> Stage:
        covered = self._labelled_policy(next(iter(pseudo)))
        params: dict[str, Any] = {"policy": covered.as_dict()}
        if len(covered.shares) > 1:
            params["seed"] = self.cell.seed
        return self.book.add(
            QUALITY,
            params,
            inputs={f"pseudomask.{kind}": stage for kind, stage in pseudo.items()},
            fingerprints={"data": self._data},
            settings=self._settings(seed=self.cell.seed),
            label=f"quality of pseudo-masks {covered} {self.cell.dataset.name}",
            units=self._train_images,
        )

    def _student(self, pseudo: Mapping[AnnotationType, Stage]) -> Stage:
        schedule = self.recipe.student.schedule
        return self.book.add(
            STUDENT,
            {
                "config": self.recipe.student.identity(),
                "policy": self.cell.policy.as_dict(),
                "seed": self.cell.seed,
            },
            inputs={f"pseudomask.{kind}": stage for kind, stage in pseudo.items()},
            fingerprints={"data": self._data, **self._student_start()},
            settings=self._settings(),
            label=f"student {self.cell.id}",
            units=schedule.steps * schedule.batch_images,
        )

    def _student_start(self) -> dict[str, str]:
        """Fingerprint of what the student's weights are before it learns."""
        kind: WeightsKind = "backbone" if self.recipe.models.student == NO_START else "student"
        return {kind: self._model(kind)}

    def _salvage(self, student: Stage) -> Stage:
        """Scores of a stopped student; not among the cell's stages, since it rarely runs."""
        evaluate = self.book.resources_of(EVALUATE)
        spec = self.cell.dataset
        return Stage(
            kind=SALVAGE,
            params={"student": student.key, "seed": self.cell.seed},
            fingerprints={"data": self.sources.data_fingerprint(spec, spec.val)},
            settings=self._settings(),
            resources=evaluate,
            label=f"evaluate stopped {self.cell.id}",
        )

    def _evaluate(self, student: Stage) -> Stage:
        spec = self.cell.dataset
        return self.book.add(
            EVALUATE,
            {},
            inputs={"student": student},
            fingerprints={"data": self.sources.data_fingerprint(spec, spec.val)},
            settings=self._settings(),
            label=f"evaluate {self.cell.id}",
            units=self.sources.images(spec, spec.val),
        )


def _share_of(images: int | None, share: float) -> float | None:
    return None if images is None else images * share
