"""Which stages of the paper's pipeline a cell needs, and what each of them is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from omnicost.engine.graph import Planner, Stage, StageBook, TargetPlan
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.student.config import TrunkConfig
from omnicost.sweep.cards.card import Card, Cell, recipe_of
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
        kept = {"quality": self._quality()} if self._masks and self._has_truth else {}
        kept |= self._chosen
        if self.cell.crossfit:
            kept |= self._calibrations
        trial: dict[str, Stage] = {}
        salvage = None
        if self.cell.measure != "teacher":
            trial["student"] = self._student()
        if self.cell.measure == "student":
            trial["evaluate"] = self._evaluate(trial["student"])
            salvage = self._salvage(trial["student"])
        outputs = {role: stage.key for role, stage in (kept | trial).items()}
        own = tuple(stage.key for stage in trial.values())
        return TargetPlan(self.cell, self.book.stages, own, outputs, salvage)

    def _quality(self) -> Stage:
        covered = self._labelled_policy(self.cell.policy.weak_types[0])
        seed = self.cell.seed if len(covered.shares) > 1 else None
        chosen = self._chosen if covered.mask_share else {}
        return self._add(
            QUALITY,
            QualityParams(data=self._train.source, policy=covered, seed=seed),
            inputs=self._masks | chosen,
            label=f"quality of pseudo-masks {covered} {self.cell.dataset.name}",
            units=self._train.images,
        )

    @property
    def _is_started(self) -> bool:
        """Whether a whole student, not a backbone alone, is what the student's weights begin as."""
        return self.recipe.models.student != NO_START

    @property
    def _student_params(self) -> StudentParams:
        is_scored = self.recipe.student.score_at and self.cell.measure == "student"
        return StudentParams(
            data=self._train.source,
            backbone=None if self._is_started else self._weights("backbone"),
            start=self._weights("student") if self._is_started else None,
            config=self.recipe.student,
            policy=self.cell.policy,
            seed=self.cell.seed,
            validation=self._val.source if is_scored else None,
        )

    @property
    def _student_scale(self) -> str:
        models = self.recipe.models
        return models.student if self._is_started else models.backbone

    def _student(self) -> Stage:
        trunk = self.recipe.student.trunk
        before = {} if trunk is None else {"trunk": self._trunk(trunk)}
        return self._trained(self._student_params, f"student {self.cell.id}", before)

    def _trunk(self, trunk: TrunkConfig) -> Stage:
        """The student that those of a data set, seed and recipe go on from: a shared stage."""
        own = replace(self, cell=replace(self.cell, policy=trunk.cell))
        told = {"config": self.recipe.student.of_trunk, "validation": None}
        params = own._student_params.model_copy(update=told)
        return own._trained(params, f"trunk {own.cell.id}", {})

    def _trained(self, params: StudentParams, label: str, inputs: Mapping[str, Stage]) -> Stage:
        """A training on the cell's labels, which reads other inputs beside them."""
        read = dict(self._masks)
        if params.config.pseudo_weight == "recalibrated":
            read |= self._calibrations
        schedule = params.config.of_branch.schedule
        return self._add(
            STUDENT,
            params,
            inputs={**read, **inputs, **self._chosen},
            label=label,
            units=schedule.steps * schedule.batch_images,
            priced_as=self._student_scale,
        )

    def _salvage(self, student: Stage) -> Stage:
        """Scores of a stopped student; not among the cell's stages, since it rarely runs."""
        return Stage(
            SALVAGE,
            SalvageParams(data=self._val.source, student=self._student_params),
            scratch={"student": student.key},
            resources=self.book.resources_of(EVALUATE),
            label=f"evaluate stopped {self.cell.id}",
            units=self._val.images,
        )

    def _evaluate(self, student: Stage) -> Stage:
        return self.book.add(
            EVALUATE,
            EvaluateParams(data=self._val.source),
            inputs={"student": student},
            label=f"evaluate {self.cell.id}",
            units=self._val.images,
            unit_size=self._val.megapixels,
            priced_as=self._student_scale,
        )
