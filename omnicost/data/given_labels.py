"""Labels that people gave, in the form of those that are simulated."""

from __future__ import annotations

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.dataset import Dataset
from omnicost.errors import InputError


def given_policy(dataset: Dataset) -> Policy:
    """The shares of the images over annotation types that a set with given labels has.

    Raises:
        InputError: if it has masks throughout, or no image.
    """
    types = dataset.types()
    if not types:
        where = f"{dataset.name} {dataset.split}"
        raise InputError(where, "has no given labels", "import some: `omnicost data import`")
    return Policy.of({each: images / len(dataset) for each, images in types.items()})


def given_assignment(dataset: Dataset, policy: Policy) -> np.ndarray:
    """The annotation type of each image, as ``(I,) int8`` strengths: what the labels are.

    Raises:
        InputError: if the policy is another: labels that were not given cannot be made up.
    """
    own = given_policy(dataset)
    if any(abs(own[each] - policy[each]) * len(dataset) >= 1 for each in AnnotationType):
        where = f"{dataset.name} {dataset.split}"
        raise InputError(where, f"has given labels, {own}, not {policy}", "use its own policy")
    return np.asarray(dataset.given, np.int8)


def given_points(dataset: Dataset, index: int) -> np.ndarray:
    """``(N, 2) float32`` points of an image's instances, crowds left out."""
    columns = dataset.columns
    first, end = columns.first_annotation[index : index + 2].tolist()
    points = np.asarray(columns.points[first:end], np.float32)  # type: ignore[index]
    return points[~columns.is_crowd[first:end]]


def is_given(dataset: Dataset, index: int, annotation: AnnotationType) -> bool:
    """Whether an image's label of that type is somebody's; else it can be made from its masks.

    Tags follow from any label: the classes that it names.

    Raises:
        InputError: naming the image, if it does not follow from its labels.
    """
    found = dataset.type_of(index)
    if found is AnnotationType.MASK:
        return False
    if found is not annotation and annotation.strength > AnnotationType.CLASS.strength:
        where = f"{dataset.name} {dataset.split}: image id {dataset.image_ids[index]}"
        raise InputError(where, f"has labels of type {found}, not {annotation}", "use its own type")
    return True
