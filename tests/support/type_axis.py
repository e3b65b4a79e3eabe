"""Arrays over annotation types from values of the paper's five."""

import numpy as np

from omnicost.annotation import PAPER_TYPES, AnnotationType


def by_type(*values: float) -> np.ndarray:
    """Values of none, class, point, box and mask on the axis of all types; 0 for the others."""
    given = dict(zip(PAPER_TYPES, values, strict=True))
    return np.array([given.get(kind, 0) for kind in AnnotationType])
