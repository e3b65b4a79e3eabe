"""What an average image holds: classes asked, classes present, instances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from omnicost.errors import ConfigError, InputError, faults_of
from omnicost.published import FITTED, PUBLISHED

if TYPE_CHECKING:
    from omnicost.coco import CocoStatistics


class DatasetStats(BaseModel):
    """Image statistics that labelling costs depend on.

    `classes` is K, the label space; `classes_per_image` is c and `instances_per_image` n, means
    over all images, empty ones included and crowds left out. The standard deviations are over
    images, None where nobody measured them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    images: int = Field(ge=1)
    classes: int = Field(ge=1)
    classes_per_image: float = Field(ge=0)
    instances_per_image: float = Field(ge=0)
    classes_sd: float | None = Field(default=None, ge=0)
    instances_sd: float | None = Field(default=None, ge=0)
    correlation: float = Field(default=0.0, ge=-1, le=1)
    """Correlation over images of classes and instances."""
    measured_images: int | None = Field(default=None, ge=1)
    """Images that c and n were measured on; None where they are those of the whole data set."""
    source: str = "given by the user"
    fitted: bool = False
    """Whether c and n were fitted to recorded costs rather than counted."""

    @model_validator(mode="after")
    def _possible(self) -> DatasetStats:
        if self.classes_per_image > self.classes:
            raise ValueError("classes_per_image exceeds classes")
        if self.instances_per_image < self.classes_per_image:
            raise ValueError("instances_per_image is below classes_per_image")
        return self

    @classmethod
    def of(cls, where: object = "statistics", **values: object) -> DatasetStats:
        """Statistics from values that a person gave.

        Raises:
            ConfigError: naming every value that cannot be used.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(where, faults_of(error)) from None

    def with_images(self, images: int) -> DatasetStats:
        """The same statistics for another number of images.

        For more images than they were counted on they become an estimate from a sample.
        """
        values = self.model_dump() | {"images": images}
        if self.measured_images is None and images > self.images:
            values["measured_images"] = self.images
        return DatasetStats.of("images", **values)


BUILT_IN: Final[Mapping[str, DatasetStats]] = {
    name: DatasetStats(
        name=name,
        images=known.images["train"],
        classes=known.classes,
        classes_per_image=known.classes_per_image,
        instances_per_image=known.instances_per_image,
        source=known.source,
        fitted=known.source == FITTED,
    )
    for name, known in PUBLISHED.items()
}


def dataset_stats(name: str, where: object = "`dataset`") -> DatasetStats:
    """The built-in statistics of that data set.

    Raises:
        InputError: if the name is not built in.
    """
    try:
        return BUILT_IN[name.strip().lower()]
    except KeyError:
        known = ", ".join(BUILT_IN)
        remedy = f"use {known}, or give your own COCO-format file with `annotations`"
        raise InputError(where, f"unknown data set {name!r}", remedy) from None


def stats_of_file(path: Path | str, name: str | None = None) -> DatasetStats:
    """Statistics counted in a COCO-format file: crowds left out, empty images counted.

    Raises:
        InputError: on any fault of the file.
    """
    from omnicost.coco import read_coco

    counted = read_coco(path, segmentations=False).statistics()
    return stats_of_counts(counted, name or Path(path).stem, path)


def stats_of_counts(counted: CocoStatistics, name: str, where: object) -> DatasetStats:
    """What was counted in a file or data set, as statistics under a name.

    Raises:
        InputError, ConfigError: naming the place and each count that cannot be.
    """
    if not counted.counted:
        remedy = "label some with points, boxes or masks, or give c and n by hand"
        raise InputError(where, "has no image whose instances can be counted", remedy)
    return DatasetStats.of(
        where,
        name=name,
        images=counted.images,
        classes=counted.classes,
        classes_per_image=counted.classes_per_image,
        instances_per_image=counted.instances_per_image,
        classes_sd=counted.classes_sd,
        instances_sd=counted.instances_sd,
        correlation=counted.correlation,
        measured_images=counted.counted if counted.counted < counted.images else None,
        source=f"counted in {where}",
    )
