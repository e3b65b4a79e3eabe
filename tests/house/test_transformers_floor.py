"""What the floor of transformers in pyproject.toml is for."""

from __future__ import annotations

import tomllib

import torch
from packaging.requirements import Requirement
from packaging.version import Version
from places import ROOT

PYPROJECT = ROOT / "pyproject.toml"


def test_pixel_decoder_starts_from_a_ring_of_offsets() -> None:
    """Head h looks 1 to 4 pixels away along its own direction, as Deformable DETR starts.

    Older versions set every bias of Mask2Former's pixel decoder to zero, this one too.
    """
    from student_world import tiny_values

    from omnicost.models.students.student import build
    from omnicost.pipeline.student.config import StudentConfig

    config = StudentConfig.model_validate(tiny_values())
    student = build(config.architecture, 3, "tiny")
    biases = {
        name: value
        for name, value in student.named_parameters()
        if name.endswith("sampling_offsets.bias")
    }
    assert biases
    for name, bias in biases.items():
        steps = bias.detach().abs().view(-1, 2).amax(1)
        assert steps.min() == 1, name
        assert steps.max() > 1, name
        assert torch.equal(steps, steps.round()), name


def test_floor_is_where_that_is_known_to_hold() -> None:
    """pyproject asks for 5.23 at least."""
    extra = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["sweep"]
    (asked,) = [each for each in map(Requirement, extra) if each.name == "transformers"]
    assert not asked.specifier.contains(Version("5.22.2"))
    assert asked.specifier.contains(Version("5.23.0"))
