"""What one annotation takes: the published constants, and a person's own in a YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from omnicost.annotation import PAPER_TYPES, AnnotationType
from omnicost.cost.overheads import Overheads
from omnicost.cost.stats import DatasetStats
from omnicost.errors import ConfigError, InputError, faults_of
from omnicost.files import read_bytes
from omnicost.plain_yaml import parse_yaml

# Spread of 18,605 point times published with "What's the point" (Bearman et al., ECCV 2016).
ANNOTATION_LOG_SD: Final = 0.64
# Assumptions, not measurements: how far a project's own annotators stand from published times, and
# how much of that is common to all types. `omnicost calibrate` replaces the first.
PROJECT_LOG_SD: Final = 0.3
PROJECT_CORRELATION: Final = 0.5


class PublishedTime(NamedTuple):
    """A published labelling time.

    Attributes:
        name: what `--time` and YAML files call it.
        constant: the field of `LabellingTimes` it can stand for; None: for comparison only.
        seconds: of one annotation.
        per: what is one.
        source: who measured it.
        checked: False if the figure is quoted second hand.
    """

    name: str
    constant: str | None
    seconds: float
    per: str
    source: str
    checked: bool = True


ALTERNATIVES: Final = (
    PublishedTime("tag", "tag", 1.0, "class asked", "Bearman ECCV16 code"),
    PublishedTime("point-first", "point_first", 2.4, "first of class", "Bearman ECCV16 code"),
    PublishedTime("point-further", "point_further", 0.9, "further point", "Bearman ECCV16", False),
    PublishedTime("centre-click", "point_first", 1.87, "point", "Papadopoulos CVPR17", False),
    PublishedTime("extreme-clicks", "box", 7.0, "box", "Papadopoulos ICCV17"),
    PublishedTime("staff-clicks", "box", 7.4, "box", "Open Images V4"),
    PublishedTime("drawn", "box", 25.5, "box (median)", "Su 2012", False),
    PublishedTime("drawn-checked", "box", 42.4, "box with checks", "Su 2012", False),
    PublishedTime("polygon", "mask", 79.0, "mask", "Bearman ECCV16 code"),
    PublishedTime("coco-workers", "mask", 79.2, "mask", "COCO, 22 h per 1000"),
    PublishedTime("sam-early", "mask", 34.0, "SAM-aided mask", "SAM paper, sec. 4"),
    PublishedTime("sam-late", "mask", 14.0, "SAM-aided mask", "SAM paper, sec. 4"),
    PublishedTime("point-verdict", None, 0.9, "in or out?", "Cheng CVPR22", False),
    PublishedTime("squiggle", "scribble", 10.9, "class, not each", "Bearman ECCV16 code"),
    PublishedTime("box-verdict", None, 1.6, "is it right?", "Papadopoulos CVPR16", False),
    PublishedTime("cityscapes-fine", None, 5400.0, "image, at least", "Cityscapes paper"),
    PublishedTime("cityscapes-coarse", None, 420.0, "image, at most", "Cityscapes paper"),
)


def alternative(name: str, constant: str) -> PublishedTime:
    """The published time of that name, if it can stand for `constant`.

    Raises:
        InputError: if no such name is listed for the constant.
    """
    fitting = {row.name: row for row in ALTERNATIVES if row.constant == constant}
    if name not in fitting:
        known = ", ".join(fitting)
        remedy = f"use seconds or one of {known}" if known else "correct its spelling"
        raise InputError(constant, f"no published time {name!r}", remedy)
    return fitting[name]


class Constant(NamedTuple):
    """A field of `LabellingTimes`."""

    scaled_by: AnnotationType
    """Whose project-wide factor scales it: a tag is the same work whatever else is drawn in the
    image, so the class factor scales it in every type."""
    noun: str
    """What is counted."""


CONSTANTS: Final[Mapping[str, Constant]] = {
    "tag": Constant(AnnotationType.CLASS, "tags"),
    "point_first": Constant(AnnotationType.POINT, "points"),
    "point_further": Constant(AnnotationType.POINT, "further"),
    "scribble": Constant(AnnotationType.SCRIBBLE, "scribbles"),
    "box": Constant(AnnotationType.BOX, "boxes"),
    "mask": Constant(AnnotationType.MASK, "masks"),
}


def constant_of(label: str) -> str:
    """The constant that most labels of a type take; that of further points has their name."""
    return {"class": "tag", "point": "point_first"}.get(label, label)


class Count(NamedTuple):
    """How often a constant is paid in an average image, as multiples of K, c and n."""

    K: int = 0
    """Classes asked."""
    c: int = 0
    """Classes present."""
    n: int = 0
    """Instances."""

    def of(self, stats: DatasetStats) -> float:
        """The number for an average image."""
        sizes = stats.classes, stats.classes_per_image, stats.instances_per_image
        return sum(times * size for times, size in zip(self, sizes, strict=True))

    def __str__(self) -> str:
        """As it is printed: ``K - c``."""
        parts = sorted(zip(self, self._fields, strict=True), key=lambda part: part[0] < 0)
        signed = [("-" if times < 0 else "+", name) for times, name in parts if times]
        return " ".join(f"{sign} {name}" for sign, name in signed).removeprefix("+ ")


_ABSENT: Final = Count(K=1, c=-1)
# The one place that says what a type costs: a class image pays a tag for every class, the others
# for each absent one, and their points, boxes or masks.
PAYS: Final[Mapping[AnnotationType, Mapping[str, Count]]] = {
    AnnotationType.NONE: {},
    AnnotationType.CLASS: {"tag": Count(K=1)},
    AnnotationType.POINT: {
        "tag": _ABSENT,
        "point_first": Count(c=1),
        "point_further": Count(n=1, c=-1),
    },
    AnnotationType.SCRIBBLE: {"tag": _ABSENT, "scribble": Count(n=1)},
    AnnotationType.BOX: {"tag": _ABSENT, "box": Count(n=1)},
    AnnotationType.MASK: {"tag": _ABSENT, "mask": Count(n=1)},
}
# Types of Table 1 that somebody is paid for.
LABELLED: Final = tuple(each for each in PAPER_TYPES if each is not AnnotationType.NONE)


class Measured(BaseModel):
    """What a calibrated time rests on: its 95% bootstrap interval and the rows of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    interval: tuple[float, float]
    rows: int = Field(ge=1)


class AnnotatorTime(Measured):
    """One annotator's mean seconds."""

    seconds: float = Field(ge=0)


class Learning(BaseModel):
    """How an annotator of a type gets faster: `1 + extra * exp(-hours worked / hours)` times."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    extra: float = Field(ge=0, le=20)
    hours: float = Field(gt=0)
    logged_hours: float = Field(gt=0)
    """Hours that each annotator worked while the mean seconds were measured."""


class LabellingTime(BaseModel):
    """Mean seconds of one annotation, its spread and where the figure comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seconds: float = Field(ge=0)
    source: str = "given by the user"
    log_sd: float = Field(default=ANNOTATION_LOG_SD, ge=0, le=3)
    """Standard deviation of the logarithm of one annotation's time; averages out over many."""
    measured: Measured | None = None
    annotators: dict[str, AnnotatorTime] = Field(default_factory=dict)
    learning: Learning | None = None


def parse_override(text: str, where: object = "`time`") -> tuple[str, float | str]:
    """Constant and value from text such as ``box=7.4`` or ``box=staff-clicks``.

    Raises:
        InputError: if it is not of that form.
    """
    name, found, value = (part.strip() for part in text.partition("="))
    if not (name and found and value):
        remedy = "write constant=seconds, such as box=7.4"
        raise InputError(where, f"{text!r} is not a labelling time", remedy)
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _published(name: str, constant: str) -> LabellingTime:
    row = alternative(name, constant)
    return LabellingTime(seconds=row.seconds, source=row.source)


LogSd = Annotated[float, Field(ge=0, le=3)]


class ProjectSpread(BaseModel):
    """Log standard deviation of the project-wide factor on each type's times."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    class_: LogSd = Field(default=PROJECT_LOG_SD, alias="class")
    point: LogSd = PROJECT_LOG_SD
    scribble: LogSd = PROJECT_LOG_SD
    box: LogSd = PROJECT_LOG_SD
    mask: LogSd = PROJECT_LOG_SD
    measured: tuple[AnnotationType, ...] = ()
    """Types whose spread was measured between annotators rather than assumed."""

    def of(self, annotation: AnnotationType) -> float:
        """The spread of one type that is drawn or tagged."""
        return float(self.model_dump(by_alias=True)[annotation])

    def as_array(self, types: Iterable[AnnotationType] = LABELLED) -> np.ndarray:
        """Spreads of some types, those of Table 1 if not given: (types,) float64."""
        return np.array([self.of(each) for each in types])


class LabellingTimes(BaseModel):
    """Seconds that single annotations take; the defaults are those behind the paper's Table 1.

    Two levels of spread: each annotation's own (`LabellingTime.log_sd`), which averages out, and a
    factor on all times of a type, one draw a project, which does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tag: LabellingTime = _published("tag", "tag")
    """Answering whether one class is in the image."""
    point_first: LabellingTime = _published("point-first", "point_first")
    """Pointing at the first instance of a class."""
    point_further: LabellingTime = _published("point-further", "point_further")
    """Pointing at each further instance of that class."""
    scribble: LabellingTime = _published("squiggle", "scribble")
    """One stroke through an instance; the published time is of one for all instances of a class."""
    box: LabellingTime = _published("extreme-clicks", "box")
    """One box."""
    mask: LabellingTime = _published("polygon", "mask")
    """One mask."""
    project_log_sd: ProjectSpread = ProjectSpread()
    """Spread of the project-wide factor; 0.3 is an assumption."""
    project_correlation: float = Field(default=PROJECT_CORRELATION, ge=0, le=1)
    """Correlation of the log factors of any two types; an assumption."""
    overheads: dict[AnnotationType, Overheads] = Field(default_factory=dict)
    """Review, rework, idle and set-up of types that differ from the assumptions."""

    @field_validator(*CONSTANTS, mode="before")
    @classmethod
    def _bare_or_named(cls, value: object, info: ValidationInfo) -> object:
        """Reads a bare number or the name of a published time as well as a full mapping."""
        if isinstance(value, str):
            return _published(value, str(info.field_name))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"seconds": value} if is_number else value

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], where: object = "times") -> LabellingTimes:
        """Times from plain data; what is not given keeps its default.

        Raises:
            ConfigError: naming every unknown field and every value that cannot be used.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise ConfigError(where, faults_of(error, cls)) from None
        except InputError as error:
            raise InputError(where, f"{error.where}: {error.problem}", error.remedy) from None

    @classmethod
    def from_yaml(cls, path: Path | str) -> LabellingTimes:
        """Times from a YAML file such as `box: 7.4` or `mask: {seconds: 60, source: pilot}`.

        Raises:
            InputError: if the file cannot be read or is no mapping.
            ConfigError: if fields or values cannot be used.
        """
        data = parse_yaml(read_bytes(path), path, "write lines such as box: 7.4")
        if not isinstance(data, dict):
            found = "nothing" if data is None else type(data).__name__
            raise InputError(path, f"holds {found}, not a mapping", "write lines such as box: 7.4")
        return cls.from_mapping(data, path)

    def with_overrides(self, overrides: Mapping[str, Any], where: object) -> LabellingTimes:
        """The times with some fields replaced, read as `from_mapping` reads them.

        Raises:
            InputError, ConfigError: as `from_mapping`.
        """
        return self.from_mapping(self.model_dump(by_alias=True) | dict(overrides), where)

    def to_yaml(self) -> str:
        """What differs from the defaults as YAML; `from_yaml` reads it back to an equal object."""
        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)

    def constants(self) -> np.ndarray:
        """Mean seconds in the order of `CONSTANTS`: (C,) float64."""
        return np.array([getattr(self, name).seconds for name in CONSTANTS])

    def log_sds(self) -> np.ndarray:
        """Per-annotation log standard deviations in the order of `CONSTANTS`: (C,) float64."""
        return np.array([getattr(self, name).log_sd for name in CONSTANTS])
