"""The tables of annotation types: every type is in each of them, and an unknown one is an error."""

import pytest

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.data.weak import GIVEN, given_for
from omnicost.errors import InputError
from omnicost.pipeline.config import RefineConfig, TeacherConfig
from omnicost.pipeline.pseudomask.routes import ROUTES, route_of
from omnicost.pipeline.teacher.kinds import PROMPTS, TeacherKind

REFINED, UNREFINED = RefineConfig(), RefineConfig(enabled=False)


def test_tables_hold_every_weak_type() -> None:
    """A type that annotators can give has a way to its mask, and no other has."""
    assert list(GIVEN) == list(WEAK_TYPES)
    assert list(ROUTES) == list(WEAK_TYPES)


@pytest.mark.parametrize("kind", WEAK_TYPES)
def test_routes_use_known_prompts(kind: AnnotationType) -> None:
    """Masks are drawn by teachers that exist, for prompts that the label or the detector gives."""
    route = route_of(kind)
    assert route.prompts in PROMPTS
    assert route.first is None or route.first in PROMPTS
    assert route.prompts_are_detections != given_for(kind).of_instances


@pytest.mark.parametrize("kind", [AnnotationType.MASK, "polygon"])
def test_what_is_not_weak_is_refused(kind: str) -> None:
    """Neither masks nor an unknown type fall into a branch made for another."""
    with pytest.raises(InputError, match="has no route"):
        route_of(kind)
    with pytest.raises(InputError, match="is not weak"):
        given_for(kind)


def test_the_paper_s_teachers() -> None:
    """Class-aware but for box + class; points take P-SAM and then BP-SAM."""
    teachers = {k: route_of(k).teachers(TeacherConfig(), REFINED) for k in WEAK_TYPES}
    assert teachers["none"] == teachers["class"] == {"mask": TeacherKind("box", True)}
    assert teachers["box"] == {"mask": TeacherKind("box", False)}
    assert teachers["point"] == {
        "point": TeacherKind("point", True),
        "mask": TeacherKind("point_box", True),
    }


def test_without_refinement_p_sam_draws_the_masks() -> None:
    """Points then need one teacher and no detector; boxes from the detector stay as they are."""
    config = TeacherConfig(class_aware="never")
    point = route_of(AnnotationType.POINT)
    assert point.teachers(config, UNREFINED) == {"point": TeacherKind("point", False)}
    assert not point.asks_detector(UNREFINED)
    assert point.asks_detector(REFINED)
    assert route_of(AnnotationType.CLASS).asks_detector(UNREFINED)
    assert not route_of(AnnotationType.BOX).asks_detector(REFINED)
