"""Which stages of the paper's pipeline a cell needs, and what each of them is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.splits import masked_images, permutation
from omnicost.data.weak import PERFECT, given_for
from omnicost.engine.graph import Planner, Stage, StageBook, TargetPlan
from omnicost.engine.keys import digest
from omnicost.models.loading import WeightsRole
from omnicost.pipeline.config import DEFAULT_REFINE, DEFAULT_SELECT, NO_START
from omnicost.pipeline.portions import Portion, portions_of
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.student.config import TrunkConfig
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.sweep.card import Card, Cell
from omnicost.sweep.estimate import uncached_share
from omnicost.sweep.recipes import recipe_of
from omnicost.sweep.sources import Sources, SplitSource, WeightsSource
from omnicost.sweep.stage_functions import (
    DETECT,
    EMBED,
    EVALUATE,
    PSEUDOMASK,
    QUALITY,
    SALVAGE,
    STUDENT,
    TEACHER,
    DetectParams,
    EmbedParams,
    Encoding,
    EvaluateParams,
    PseudomaskParams,
    QualityParams,
    SalvageParams,
    StudentParams,
    TeacherParams,
    Tuning,
)

CellPlan = TargetPlan[Cell]


def planner(card: Card, sources: Sources) -> Planner[Cell]:
    """The card's planner: a cell and a salt to the cell's plan."""

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
        pseudo = {annotation: self._pseudomask(annotation) for annotation in policy.weak_types}
        outputs = {"quality": self._quality(pseudo).key} if pseudo and self._has_truth else {}
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

    @cached_property
    def _train(self) -> SplitSource:
        return self.sources.split(self.cell.dataset, self.cell.dataset.train)

    @property
    def _has_truth(self) -> bool:
        """Whether weakly labelled images have masks to compare pseudo-masks with."""
        dataset = self.sources.dataset(self.cell.dataset, self.cell.dataset.train)
        return dataset is None or dataset.given is None

    @cached_property
    def _val(self) -> SplitSource:
        return self.sources.split(self.cell.dataset.validation, self.cell.dataset.val)

    @property
    def _train_images(self) -> int | None:
        return self.sources.images(self.cell.dataset, self.cell.dataset.train)

    @property
    def _train_megapixels(self) -> float | None:
        return self.sources.megapixels(self.cell.dataset, self.cell.dataset.train)

    @property
    def _val_images(self) -> int | None:
        return self.sources.images(self.cell.dataset.validation, self.cell.dataset.val)

    def _weights(self, role: WeightsRole) -> WeightsSource:
        return self.sources.weights(getattr(self.recipe.models, role), role)

    def _text(self, *teachers: TeacherKind) -> WeightsSource | None:
        """The text encoder, if one of the teachers reads class names."""
        return self._weights("text") if any(each.class_aware for each in teachers) else None

    @property
    def _encoding(self) -> Encoding:
        return Encoding(config=self.recipe.embed)

    @property
    def _portions(self) -> tuple[Portion, ...]:
        return portions_of(self._train_images)

    def _images_in(self, portion: Portion) -> int | None:
        images = self._train_images
        return None if images is None else len(range(images)[portion.of(images)])

    def _embed(self, portion: Portion) -> Stage:
        return self.book.add(
            EMBED,
            EmbedParams(
                data=self._train,
                sam=self._weights("sam"),
                config=self.recipe.embed,
                portion=portion,
            ),
            label=f"embed {self.cell.dataset.name}{portion}",
            units=self._images_in(portion),
            unit_size=self._train_megapixels,
            priced_as=self.recipe.models.sam,
        )

    def _embeddings(self, portions: Iterable[Portion]) -> dict[str, Stage]:
        """What a stage reads of the cache, by role; nothing without one."""
        if self.recipe.embed.limit_gigabytes == 0:
            return {}
        return {f"embed.{each.number}": self._embed(each) for each in portions}

    def _labelled_portions(self) -> list[Portion]:
        """Those with the images that a teacher learns from.

        Portions follow seed 0's order of labelling, so its images with masks lie in the first.
        """
        split = self.sources.dataset(self.cell.dataset, self.cell.dataset.train)
        if split is None or len(self._portions) == 1:
            return list(self._portions)
        masked = masked_images(split, self.cell.policy.mask_share, self.cell.seed)
        is_masked = np.isin(permutation(split, 0), masked)
        return [each for each in self._portions if is_masked[each.of(len(split))].any()]

    def _detections(self, annotation: AnnotationType) -> dict[str, Stage]:
        """What GroundingDINO proposes for a type, by role."""
        return {f"detections.{p.number}": self._detect(annotation, p) for p in self._portions}

    def _detect(self, annotation: AnnotationType, portion: Portion) -> Stage:
        mode = route_of(annotation).captions
        assert mode is not None  # a type without captions asks no detector
        params = DetectParams(
            data=self._train,
            detector=self._weights("detector"),
            config=self.recipe.detect.proposals,
            mode=mode,
            portion=portion,
        )
        if params.mode == "present" and self.recipe.noise != PERFECT:
            # Only faults make the tags of points differ from plain tags.
            faulty = {"annotation": annotation, "noise": self.recipe.noise, "seed": self.cell.seed}
            params = params.model_copy(update=faulty)
        return self.book.add(
            DETECT,
            params,
            label=f"detect {self.cell.dataset.name} {params.mode}{portion}",
            units=self._images_in(portion),
            unit_size=self._train_megapixels,
            priced_as=self.recipe.models.detector,
        )

    @property
    def _is_released(self) -> bool:
        """Whether the released weights serve, whatever is labelled."""
        config = self.recipe.teacher
        return not (config.tune and config.steps and self.cell.policy.mask_share)

    def _teacher(self, kind: TeacherKind) -> Stage:
        params = TeacherParams(kind=kind, sam=self._weights("sam"))
        if self._is_released:
            label = f"teacher {kind} released"
            return self.book.add(
                TEACHER, params, label=label, units=0, priced_as=self.recipe.models.sam
            )
        share, seed = self.cell.policy.mask_share, self.cell.seed
        tuning = Tuning(
            data=self._train,
            text=self._text(kind),
            config=self.recipe.teacher,
            encoding=self._encoding,
            mask_share=share,
            seed=seed,
            validation=None if self.cell.measure == "model" else self._val,
        )
        return self.book.add(
            TEACHER,
            params.model_copy(update={"tuning": tuning}),
            inputs=self._embeddings(self._labelled_portions()),
            label=f"teacher {kind} {self.cell.dataset.name} mask={share:g} seed={seed}",
            units=self.recipe.teacher.steps * self.recipe.teacher.batch_images,
            unit_size=self._train_megapixels,
            priced_as=self.recipe.models.sam,
        )

    def _pseudomask(self, annotation: AnnotationType) -> Stage:
        """Pseudo-masks of one weak type.

        Released weights know nothing of shares: where there is one weak type they label every
        image, and serve all mask shares, since students let real masks override.
        """
        embeddings = self._embeddings(self._portions)
        teachers = self.recipe.teachers(annotation)
        inputs = {f"teacher.{role}": self._teacher(kind) for role, kind in teachers.items()}
        inputs |= embeddings
        route = route_of(annotation)
        if route.asks_detector(self.recipe.refine):
            inputs |= self._detections(annotation)
        policy = self._labelled_policy(annotation)
        params = PseudomaskParams(
            data=self._train,
            sam=self._weights("sam"),
            text=None if self._is_released else self._text(*teachers.values()),
            encoding=self._encoding,
            config=self.recipe.pseudomask,
            annotation=annotation,
            policy=policy,
            noise=self.recipe.noise,
            seed=self.cell.seed if self._needs_seed(annotation) else None,
            select=self.recipe.detect.selection if route.prompts_are_detections else DEFAULT_SELECT,
            refine=DEFAULT_REFINE if route.first is None else self.recipe.refine,
        )
        return self.book.add(
            PSEUDOMASK,
            params,
            inputs=inputs,
            label=f"pseudo-masks {policy} {self.cell.dataset.name}",
            units=_share_of(self._train_images, policy[annotation]),
            unit_size=self._train_megapixels,
            priced_as=self.recipe.models.sam,
            pass_group=self._pass_group(),
        )

    def _pass_group(self) -> str:
        """What pseudo-masks of one pass have in common; empty where each runs alone.

        Tuned teachers of one share and seed are ready at about the same time; released ones at
        once, so that they wait for no training.
        """
        models, embed = self.recipe.models, self.recipe.embed
        is_cached = not uncached_share(embed, models.sam, self._train_images or 0)
        if self.passes == "never" or (self.passes == "auto" and is_cached):
            return ""
        ready = "released" if self._is_released else [self.cell.policy.mask_share, self.cell.seed]
        read = (self._train, self._weights("sam"), self._weights("text"))
        told = [each.model_dump(mode="json") for each in (*read, embed, self.recipe.pseudomask)]
        return digest([*told, ready])

    def _labelled_policy(self, annotation: AnnotationType) -> Policy:
        policy = self.cell.policy
        alone = len(policy.weak_types) == 1
        serves_all = self._is_released and alone and self._has_truth  # labels can be made up
        return Policy.of({annotation: 1.0}) if serves_all else policy

    def _needs_seed(self, annotation: AnnotationType) -> bool:
        drawn = given_for(annotation).drawn or self.recipe.noise != PERFECT
        return drawn or len(self._labelled_policy(annotation).shares) > 1

    def _quality(self, pseudo: Mapping[AnnotationType, Stage]) -> Stage:
        covered = self._labelled_policy(next(iter(pseudo)))
        seed = self.cell.seed if len(covered.shares) > 1 else None
        return self.book.add(
            QUALITY,
            QualityParams(data=self._train, policy=covered, seed=seed),
            inputs={f"pseudomask.{annotation}": stage for annotation, stage in pseudo.items()},
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
        return self.book.add(
            STUDENT,
            self._student_params,
            inputs=inputs,
            label=f"student {self.cell.id}",
            units=schedule.steps * schedule.batch_images,
            unit_size=self._train_megapixels,
            priced_as=self._student_scale,
        )

    def _trunk(self, trunk: TrunkConfig) -> Stage:
        """The student that those of a data set, seed and recipe go on from: a shared stage."""
        own = replace(self, cell=replace(self.cell, policy=trunk.cell))
        pseudo = {kind: own._pseudomask(kind) for kind in trunk.cell.weak_types}
        config = self.recipe.student.of_trunk
        return self.book.add(
            STUDENT,
            own._student_params.model_copy(update={"config": config, "validation": None}),
            inputs={f"pseudomask.{annotation}": stage for annotation, stage in pseudo.items()},
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


def _share_of(images: int | None, share: float) -> float | None:
    return None if images is None else images * share
