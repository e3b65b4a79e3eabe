"""Which stages of the paper's pipeline a cell needs, and what each of them is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from omnicost.annotation import AnnotationType
from omnicost.engine.graph import Planner, Stage, StageBook, TargetPlan
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.student.config import TrunkConfig
from omnicost.sweep.cards.card import Card, Cell
from omnicost.sweep.cards.recipes import recipe_of
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.mask_stages import MaskStages
from omnicost.sweep.stages.stage_functions import EVALUATE, QUALITY, SALVAGE, STUDENT
from omnicost.sweep.stages.stage_params import (
    EvaluateParams,
    QualityParams,
    SalvageParams,
    StudentParams,
)

CellPlan = TargetPlan[Cell]


def planner(card: Card, sources: Sources) -> Planner[Cell]:
    """The card's planner: a cell and a salt to the cell's plan."""

    def plan(cell: Cell, salt: str) -> CellPlan:
        book = StageBook(card.resources, salt)
        return _CellStages(cell, recipe_of(cell), sources, book, card.passes).plan()

    return plan


class _CellStages(MaskStages):
    """Writes down the stages of one cell."""

    def plan(self) -> CellPlan:
        policy = self.cell.policy
        pseudo = {annotation: self._pseudomask(annotation) for annotation in policy.weak_types}
        outputs = {"quality": self._quality(pseudo).key} if pseudo and self._has_truth else {}
        outputs |= {role: stage.key for role, stage in self._chosen.items()}
        if self.cell.crossfit:
            found = self._calibrations.items()
            outputs |= {f"calibration.{annotation}": stage.key for annotation, stage in found}
        if self.cell.measure == "teacher":
            return TargetPlan(self.cell, self.book.stages, (), outputs)
        student = self._student(pseudo)
        if self.cell.measure == "model":
            outputs |= {"student": student.key}
            return TargetPlan(self.cell, self.book.stages, (student.key,), outputs)
        evaluate = self._evaluate(student)
        outputs |= {"student": student.key, "evaluate": evaluate.key}
        trial = (student.key, evaluate.key)
        return TargetPlan(self.cell, self.book.stages, trial, outputs, self._salvage(student))

    def _quality(self, pseudo: Mapping[AnnotationType, Stage]) -> Stage:
        covered = self._labelled_policy(next(iter(pseudo)))
        seed = self.cell.seed if len(covered.shares) > 1 else None
        chosen = self._chosen if covered.mask_share else {}
        return self.book.add(
            QUALITY,
            QualityParams(data=self._train, policy=covered, seed=seed),
            inputs={f"pseudomask.{annotation}": stage for annotation, stage in pseudo.items()}
            | chosen,
            label=f"quality of pseudo-masks {covered} {self.cell.dataset.name}",
            units=self._train_images,
            unit_size=self._train_megapixels,
            priced_as=self.recipe.models.sam,
        )

    @property
    def _is_started(self) -> bool:
        """Whether a whole student, not a backbone alone, is what the student's weights begin as."""
        return self.recipe.models.student != NO_START

    @property
    def _student_params(self) -> StudentParams:
        is_scored = self.recipe.student.score_at and self.cell.measure == "student"
        return StudentParams(
            data=self._train,
            backbone=None if self._is_started else self._weights("backbone"),
            start=self._weights("student") if self._is_started else None,
            config=self.recipe.student,
            policy=self.cell.policy,
            seed=self.cell.seed,
            validation=self._val if is_scored else None,
        )

    @property
    def _student_scale(self) -> str:
        models = self.recipe.models
        return models.student if self._is_started else models.backbone

    def _student(self, pseudo: Mapping[AnnotationType, Stage]) -> Stage:
        inputs = {f"pseudomask.{annotation}": stage for annotation, stage in pseudo.items()}
        if self.recipe.student.trunk is not None:
            inputs["trunk"] = self._trunk(self.recipe.student.trunk)
        schedule = self.recipe.student.of_branch.schedule
        if self.recipe.student.pseudo_weight == "recalibrated":
            found = self._calibrations.items()
            inputs |= {f"calibration.{annotation}": stage for annotation, stage in found}
        return self.book.add(
            STUDENT,
            self._student_params,
            inputs=inputs | self._chosen,
            label=f"student {self.cell.id}",
            units=schedule.steps * schedule.batch_images,
            unit_size=self._train_megapixels,
            priced_as=self._student_scale,
        )

    def _trunk(self, trunk: TrunkConfig) -> Stage:
        """The student that those of a data set, seed and recipe go on from: a shared stage."""
        own = replace(self, cell=replace(self.cell, policy=trunk.cell))
        pseudo = {each: own._pseudomask(each) for each in trunk.cell.weak_types}
        config = self.recipe.student.of_trunk
        return self.book.add(
            STUDENT,
            own._student_params.model_copy(update={"config": config, "validation": None}),
            inputs={f"pseudomask.{annotation}": stage for annotation, stage in pseudo.items()}
            | own._chosen,
            label=f"trunk {own.cell.id}",
            units=config.schedule.steps * config.schedule.batch_images,
            priced_as=self._student_scale,
        )

    def _salvage(self, student: Stage) -> Stage:
        """Scores of a stopped student; not among the cell's stages, since it rarely runs."""
        return Stage(
            SALVAGE,
            SalvageParams(data=self._val, student=self._student_params),
            scratch={"student": student.key},
            resources=self.book.resources_of(EVALUATE),
            label=f"evaluate stopped {self.cell.id}",
            units=self._val_images,
        )

    def _evaluate(self, student: Stage) -> Stage:
        return self.book.add(
            EVALUATE,
            EvaluateParams(data=self._val),
            inputs={"student": student},
            label=f"evaluate {self.cell.id}",
            units=self._val_images,
            unit_size=self.sources.megapixels(self.cell.dataset.validation, self.cell.dataset.val),
            priced_as=self._student_scale,
        )
