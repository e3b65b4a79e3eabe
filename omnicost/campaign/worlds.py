"""What is uncertain about a team's work on a plan: draws of times, speeds and overheads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign.team import Team
from omnicost.cost import LabellingTime, LabellingTimes, OverheadsByType, SpendDraws, draw_spend
from omnicost.cost.overheads import draw_shares
from omnicost.cost.spread import log_error
from omnicost.cost.times import Learning, ProjectSpread, constant_of
from omnicost.plan import Plan


@dataclass(frozen=True)
class AnnotatorDraws:
    """D draws of P types and A annotators."""

    images: np.ndarray  # (P,)
    seconds: np.ndarray  # (D, A, P) paid, of an image, at the log's mean
    review: np.ndarray  # (D, P)
    rework: np.ndarray  # (D, P)
    learning: tuple[Learning | None, ...]  # P


def draw_worlds(
    plan: Plan,
    overheads: OverheadsByType,
    team: Team,
    types: tuple[AnnotationType, ...],
    rng: np.random.Generator,
    draws: int,
) -> AnnotatorDraws:
    """D draws of a team that labels these types."""
    places = [annotation.strength for annotation in types]
    images = plan.new_labels[places].astype(float)
    spend = draw_spend(plan.stats, _without_annotators(plan.times), rng, draws)
    seconds = spend.type_seconds[:, places] * _image_noise(spend, images, places) * plan.part_paid
    review, rework, idle = (one[:, places] for one in draw_shares(overheads, draws, rng))
    sds = plan.times.project_log_sd.as_array(types)
    # The mean time of a log is that of a shared queue, where the mean of 1 / time is kept.
    normal = rng.standard_normal((draws, team.annotators, len(types)))
    speed = np.exp(sds * normal + sds**2 / 2)
    return AnnotatorDraws(
        images,
        (seconds / (1 - idle))[:, None, :] * speed,
        review,
        rework,
        tuple(_main_time(plan.times, annotation).learning for annotation in types),
    )


def _image_noise(spend: SpendDraws, images: np.ndarray, places: list[int]) -> np.ndarray:
    """What is left of single images' spread in the mean of so many: factors (D, P), mean 1."""
    mean = spend.type_seconds[:, places]
    log_variance = np.log1p(spend.variance[places] / np.maximum(images, 1) / mean**2)
    factor: np.ndarray = np.exp(np.sqrt(log_variance) * spend.noise[:, places] - log_variance / 2)
    return factor


def _main_time(times: LabellingTimes, annotation: AnnotationType) -> LabellingTime:
    """The labelling time that most of a type's work is."""
    time: LabellingTime = getattr(times, constant_of(annotation))
    return time


def _without_annotators(times: LabellingTimes) -> LabellingTimes:
    """The times with the project-wide spread of measured types down to the error of their mean.

    Their spread was that between annotators, who are drawn one by one here.
    """
    spread = times.project_log_sd
    errors = {name: _log_error(times, name) for name in spread.measured}
    values = spread.model_dump(by_alias=True) | errors
    return times.model_copy(update={"project_log_sd": ProjectSpread.model_validate(values)})


def _log_error(times: LabellingTimes, name: str) -> float:
    measured = _main_time(times, AnnotationType(name)).measured
    if measured is None or measured.interval[0] <= 0:
        return 0.0
    return log_error(measured.interval)
