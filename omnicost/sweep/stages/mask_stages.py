"""The stages that end in pseudo-masks: embeddings, detections, teachers, and their judgement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.splits import masked_images, permutation
from omnicost.data.weak import PERFECT, given_for
from omnicost.engine.graph import Stage, StageBook, StageKind
from omnicost.engine.keys import digest
from omnicost.engine.params import Params
from omnicost.errors import ConfigError
from omnicost.models.loading import WeightsRole
from omnicost.pipeline.config import DEFAULT_REFINE, DEFAULT_SELECT
from omnicost.pipeline.portions import Portion, portions_of
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.quality.crossfit import FOLDS, LEAST_IMAGES
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.sweep.cards.card import Cell
from omnicost.sweep.estimate import uncached_share
from omnicost.sweep.sources import PlannedSplit, Sources, WeightsSource
from omnicost.sweep.stages.stage_functions import (
    ASSIGN,
    CALIBRATE,
    DETECT,
    EMBED,
    PSEUDOMASK,
    TEACHER,
)
from omnicost.sweep.stages.stage_params import (
    AssignParams,
    CalibrateParams,
    DetectParams,
    EmbedParams,
    Encoding,
    PseudomaskParams,
    TeacherParams,
    Tuning,
)


@dataclass(frozen=True)
class MaskStages:
    """Writes down the stages of one cell up to its pseudo-masks."""

    cell: Cell
    recipe: Recipe
    sources: Sources
    book: StageBook
    passes: str

    @cached_property
    def _train(self) -> PlannedSplit:
        return self.sources.split(self.cell.dataset, self.cell.dataset.train)

    @cached_property
    def _val(self) -> PlannedSplit:
        return self.sources.split(self.cell.dataset.validation, self.cell.dataset.val)

    @property
    def _has_truth(self) -> bool:
        """Whether weakly labelled images have masks to compare pseudo-masks with."""
        dataset = self._train.dataset
        return dataset is None or dataset.given is None

    def _weights(self, role: WeightsRole) -> WeightsSource:
        return self.sources.weights(getattr(self.recipe.models, role), role)

    def _text(self, *teachers: TeacherKind) -> WeightsSource | None:
        """The text encoder, if one of the teachers reads class names."""
        return self._weights("text") if any(each.class_aware for each in teachers) else None

    @property
    def _portions(self) -> tuple[Portion, ...]:
        return portions_of(self._train.images)

    def _images_in(self, portion: Portion) -> int | None:
        images = self._train.images
        return None if images is None else len(range(images)[portion.of(images)])

    def _add(self, kind: StageKind, params: Params, **told: Any) -> Stage:
        """Write down a stage on the training split, priced as SAM is unless told otherwise."""
        like = {"unit_size": self._train.megapixels, "priced_as": self.recipe.models.sam}
        return self.book.add(kind, params, **{**like, **told})

    def _embed(self, portion: Portion) -> Stage:
        data, sam = self._train.source, self._weights("sam")
        return self._add(
            EMBED,
            EmbedParams(data=data, sam=sam, config=self.recipe.embed, portion=portion),
            label=f"embed {self.cell.dataset.name}{portion}",
            units=self._images_in(portion),
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
        split = self._train.dataset
        if split is None or len(self._portions) == 1 or self._chosen:
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
            data=self._train.source,
            detector=self._weights("detector"),
            config=self.recipe.detect.proposals,
            mode=mode,
            portion=portion,
        )
        if params.mode == "present" and self.recipe.noise != PERFECT:
            # Only faults make the tags of points differ from plain tags.
            faulty = {"annotation": annotation, "noise": self.recipe.noise, "seed": self.cell.seed}
            params = params.model_copy(update=faulty)
        return self._add(
            DETECT,
            params,
            label=f"detect {self.cell.dataset.name} {params.mode}{portion}",
            units=self._images_in(portion),
            priced_as=self.recipe.models.detector,
        )

    @property
    def _is_released(self) -> bool:
        """Whether the released weights serve, whatever is labelled."""
        config = self.recipe.teacher
        return not (config.tune and config.steps and self.cell.policy.mask_share)

    @cached_property
    def _chosen(self) -> dict[str, Stage]:
        """What chooses the images with masks, by its role; nothing where a seeded draw does."""
        policy = self.cell.policy
        if self.recipe.assignment == "random" or not 0 < policy.mask_share < 1:
            return {}
        if len(policy.weak_types) > 1 or not self._has_truth:
            problem = f"value cannot choose the masks of {self.cell.id}"
            remedy = "it needs masks everywhere to simulate one weak type beside masks"
            raise ConfigError("recipe.assignment", [f"{problem}: {remedy}"])
        weak = policy.weak_types[0]
        stage = self._add(
            ASSIGN,
            AssignParams(data=self._train.source, policy=policy, seed=self.cell.seed),
            inputs={"pseudomask": self._released_masks(weak)},
            label=f"assignment {policy} {self.cell.dataset.name} seed={self.cell.seed}",
            units=self._train.images,
        )
        return {"assignment": stage}

    def _released_masks(self, annotation: AnnotationType) -> Stage:
        """Pseudo-masks on all images, by the teacher that no mask has tuned."""
        everywhere = replace(self.cell, policy=Policy.of({annotation: 1.0}))
        return replace(self, cell=everywhere)._pseudomask(annotation)

    @cached_property
    def _masks(self) -> dict[str, Stage]:
        """Pseudo-masks of each weak type, by the role in which they are read."""
        return {
            f"pseudomask.{each}": self._pseudomask(each) for each in self.cell.policy.weak_types
        }

    @cached_property
    def _calibrations(self) -> dict[str, Stage]:
        """The judgement of each weak type by the images with masks; nothing where they are few."""
        images = self._train.images
        share = self.cell.policy.mask_share
        if not share or (images is not None and round(share * images) < LEAST_IMAGES):
            return {}
        return {
            f"calibration.{each}": self._calibrate(each) for each in self.cell.policy.weak_types
        }

    def _calibrate(self, annotation: AnnotationType) -> Stage:
        parts = {f"pseudomask.{n}": self._pseudomask(annotation, n) for n in range(FOLDS)}
        cell = self.cell
        params = CalibrateParams(
            data=self._train.source, annotation=annotation, policy=cell.policy, seed=cell.seed
        )
        return self._add(
            CALIBRATE,
            params,
            inputs=parts | self._chosen,
            label=f"calibration of {annotation} {cell.policy} {cell.dataset.name}",
            units=share_of(self._train.images, cell.policy.mask_share),
        )

    def _teacher(self, kind: TeacherKind, fold: int | None = None) -> Stage:
        params = TeacherParams(kind=kind, sam=self._weights("sam"))
        if self._is_released:
            label = f"teacher {kind} released"
            return self._add(TEACHER, params, label=label, units=0)
        share, seed = self.cell.policy.mask_share, self.cell.seed
        tuning = Tuning(
            data=self._train.source,
            text=self._text(kind),
            config=self.recipe.teacher,
            encoding=Encoding(config=self.recipe.embed),
            mask_share=share,
            seed=seed,
            fold=fold,
            validation=None if self.cell.measure == "model" else self._val.source,
        )
        part = "" if fold is None else f" without part {fold}"
        return self._add(
            TEACHER,
            params.model_copy(update={"tuning": tuning}),
            inputs=self._embeddings(self._labelled_portions()) | self._chosen,
            label=f"teacher {kind} {self.cell.dataset.name} mask={share:g} seed={seed}{part}",
            units=self.recipe.teacher.steps * self.recipe.teacher.batch_images,
        )

    def _pseudomask(self, annotation: AnnotationType, fold: int | None = None) -> Stage:
        """Pseudo-masks of one weak type; of a fold, on that part of the images with masks.

        Released weights know nothing of shares: where there is one weak type they label every
        image, and serve all mask shares, since students let real masks override.
        """
        embeddings = self._embeddings(self._portions)
        teachers = self.recipe.teachers(annotation)
        inputs = {f"teacher.{role}": self._teacher(k, fold) for role, k in teachers.items()}
        inputs |= embeddings
        route = route_of(annotation)
        if route.asks_detector(self.recipe.refine):
            inputs |= self._detections(annotation)
        policy = self.cell.policy if fold is not None else self._labelled_policy(annotation)
        if policy.mask_share:
            inputs |= self._chosen
        drawn = given_for(annotation).drawn or self.recipe.noise != PERFECT
        needs_seed = fold is not None or drawn or len(policy.shares) > 1
        labelled = policy[annotation] if fold is None else policy.mask_share / FOLDS
        part = "" if fold is None else f" on part {fold} of its masks"
        params = PseudomaskParams(
            data=self._train.source,
            sam=self._weights("sam"),
            text=None if self._is_released else self._text(*teachers.values()),
            encoding=Encoding(config=self.recipe.embed),
            config=self.recipe.pseudomask,
            annotation=annotation,
            policy=policy,
            noise=self.recipe.noise,
            seed=self.cell.seed if needs_seed else None,
            fold=fold,
            select=self.recipe.detect.selection if route.prompts_are_detections else DEFAULT_SELECT,
            refine=DEFAULT_REFINE if route.first is None else self.recipe.refine,
        )
        return self._add(
            PSEUDOMASK,
            params,
            inputs=inputs,
            label=f"pseudo-masks {policy} {self.cell.dataset.name}{part}",
            units=share_of(self._train.images, labelled),
            pass_group=self._pass_group() if fold is None else "",
        )

    def _pass_group(self) -> str:
        """What pseudo-masks of one pass have in common; empty where each runs alone.

        Tuned teachers of one share and seed are ready at about the same time; released ones at
        once, so that they wait for no training.
        """
        models, embed = self.recipe.models, self.recipe.embed
        is_cached = not uncached_share(embed, models.sam, self._train.images or 0)
        if self.passes == "never" or (self.passes == "auto" and is_cached):
            return ""
        ready = "released" if self._is_released else [self.cell.policy.mask_share, self.cell.seed]
        read = (self._train.source, self._weights("sam"), self._weights("text"))
        told = [each.model_dump(mode="json") for each in (*read, embed, self.recipe.pseudomask)]
        return digest([*told, ready])

    def _labelled_policy(self, annotation: AnnotationType) -> Policy:
        policy = self.cell.policy
        alone = len(policy.weak_types) == 1
        serves_all = self._is_released and alone and self._has_truth  # labels can be made up
        return Policy.of({annotation: 1.0}) if serves_all else policy


def share_of(images: int | None, share: float) -> float | None:
    """How many images a share is, where their number is known."""
    return None if images is None else images * share
