"""Annotation types and policies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicost.annotation import PAPER_TYPES, WEAK_TYPES, AnnotationType, Policy
from omnicost.errors import InputError

TYPES = len(AnnotationType)
WEIGHTS = st.lists(st.floats(0.0, 1.0), min_size=TYPES, max_size=TYPES).filter(
    lambda w: sum(w) > 0.1
)


def policy_of(weights: list[float]) -> Policy:
    total = sum(weights)
    shares = {kind: w / total for kind, w in zip(AnnotationType, weights, strict=True)}
    return Policy.of(shares)


def test_types_are_ordered_by_strength() -> None:
    """none < class < point < scribble < box < mask; the paper's types in the same order."""
    assert list(AnnotationType) == ["none", "class", "point", "scribble", "box", "mask"]
    assert [kind.strength for kind in AnnotationType] == [0, 1, 2, 3, 4, 5]
    assert list(PAPER_TYPES) == ["none", "class", "point", "box", "mask"]
    assert AnnotationType.MASK not in WEAK_TYPES


@given(WEIGHTS)
def test_text_of_a_policy_reads_back(weights: list[float]) -> None:
    """str and parse, and as_dict and of, are inverse up to the printed digits."""
    policy = policy_of(weights)
    assert Policy.of(policy.as_dict()) == policy
    again = Policy.parse(str(policy))
    for kind in AnnotationType:
        assert again[kind] == pytest.approx(policy[kind], abs=1e-11)


@given(WEIGHTS)
def test_shares_add_to_one(weights: list[float]) -> None:
    """Whatever the shares are, they add to 1 and zero shares are gone."""
    policy = policy_of(weights)
    assert sum(share for _, share in policy.shares) == pytest.approx(1.0, abs=1e-9)
    assert all(share > 0 for _, share in policy.shares)


def test_equal_policies_hash_equal() -> None:
    """The order in which shares are given does not matter."""
    one = Policy.of({"mask": 0.1, "point": 0.9})
    other = Policy.of({"point": 0.9, "mask": 0.1, "box": 0.0})
    assert one == other
    assert hash(one) == hash(other)


def test_cells_at_the_ends_have_one_type() -> None:
    """0% masks is the weak type alone, 100% masks alone."""
    assert Policy.cell("box", 0).as_dict() == {"box": 1.0}
    assert Policy.cell("box", 1).as_dict() == {"mask": 1.0}
    assert Policy.cell("box", 0.1).mask_share == 0.1
    assert Policy.cell("box", 0.1).weak_types == (AnnotationType.BOX,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("mask=0.1,point=0.8", "shares add to 0.9, not 1"),
        ("mask=0.1,blob=0.9", "unknown annotation type 'blob'"),
        ("mask", "'mask' is not type=share"),
        ("mask=nan,point=1", "share of mask is nan"),
        ("mask=-0.1,point=1.1", "share of mask is -0.1"),
        ("mask=0.5,box=0.5,Mask=0.5", "names mask twice"),
        ("", "'' is not type=share"),
    ],
)
def test_bad_policies_are_named(text: str, fault: str) -> None:
    """Every fault of a policy names its value and what to do."""
    with pytest.raises(InputError, match=fault) as error:
        Policy.parse(text)
    assert error.value.remedy
