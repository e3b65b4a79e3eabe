"""The mask loss on uncertain points, against its definition."""

import numpy as np
import pytest
import torch

from omnicost.pipeline.teacher.mask_loss import (
    ce_loss,
    dice_loss,
    sample_at,
    true_iou,
    uncertain_points,
)

WHOLE = torch.ones(1, 2)


def ramp(height: int, width: int) -> torch.Tensor:
    """A mask that is unsure along its middle column only."""
    return torch.linspace(-8, 8, width).expand(1, height, width).contiguous()


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_values_are_read_bilinearly_at_pixel_centres() -> None:
    """The centre of a pixel gives its value; half way to the next gives the mean."""
    values = torch.arange(12.0).view(1, 3, 4)
    points = torch.tensor([[[1.5 / 4, 0.5 / 3], [2.0 / 4, 1.5 / 3], [0.0, 0.0], [1.0, 1.0]]])
    assert torch.allclose(sample_at(values, points), torch.tensor([[1.0, 5.5, 0.0, 11.0]]))


def test_most_points_lie_where_the_mask_is_unsure() -> None:
    """Three quarters come from the uncertain end of three times as many; the rest are anywhere."""
    points = uncertain_points(ramp(32, 32), WHOLE, 400, 3.0, 0.75, draw())
    assert points.shape == (1, 400, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    off = (points[0, :, 0] - 0.5).abs()
    # 300 of 1,200 uniform points: those within an eighth of the width on either side.
    assert off[:300].max() < 0.16
    assert off[300:].max() > 0.4


def test_each_mask_has_its_own_unsure_place() -> None:
    """The points of a mask lie where that mask is unsure: not where it is surest, or another is."""
    rising = ramp(32, 32)
    masks = torch.cat([rising, rising + 6, rising - 6])  # unsure at the middle, left, right
    points = uncertain_points(masks, WHOLE.expand(3, 2), 400, 3.0, 0.75, draw())
    for kept, middle in zip(points[:, :300, 0], (0.5, 0.125, 0.875), strict=True):
        assert (kept - middle).abs().max() < 0.3
        assert float(kept.mean()) == pytest.approx(middle, abs=0.03)


def test_no_importance_means_uniform_points() -> None:
    """With importance 0 every point is drawn anew, whatever the mask."""
    points = uncertain_points(ramp(32, 32), WHOLE, 400, 3.0, 0.0, draw())
    assert float(points[0, :, 0].std()) == pytest.approx(12**-0.5, rel=0.1)


def test_true_iou_of_a_padded_picture() -> None:
    """Only the picture's part of the frame counts; an untouched instance has 0."""
    logits = torch.full((2, 8, 8), 1.0)
    logits[0, :, 2:4] = -1.0  # drawn: columns 0-1 of the picture's 4
    masks = torch.zeros(2, 16, 8, dtype=torch.uint8)
    masks[0, :, :6] = 1  # wanted: its first three quarters
    found = true_iou(logits, masks, torch.tensor([0.5, 1.0]))
    assert found.tolist() == pytest.approx([2 / 3, 0.0])


def test_padding_of_the_frame_is_never_looked_at() -> None:
    """With a picture that fills part of the frame, points are shares of the picture."""
    logits = torch.full((1, 16, 16), 0.0)
    logits[:, :, :8] = ramp(16, 8)  # the right half of the frame is padding, as unsure as can be
    extent = torch.tensor([[0.5, 1.0]])
    points = uncertain_points(logits, extent, 200, 3.0, 0.75, draw())
    off = (points[0, :150, 0] - 0.5).abs()
    assert off.max() < 0.2


def test_losses_are_mask2former_s() -> None:
    """Cross entropy and dice agree with transformers' own, mask by mask."""
    from transformers.models.mask2former.modeling_mask2former import (
        dice_loss as reference_dice,
    )
    from transformers.models.mask2former.modeling_mask2former import (
        sigmoid_cross_entropy_loss as reference_ce,
    )

    logits = 3 * torch.randn(4, 50, generator=draw())
    targets = (torch.rand(4, 50, generator=draw(1)) > 0.5).float()
    assert float(ce_loss(logits, targets).sum()) == pytest.approx(
        4 * float(reference_ce(logits, targets, 4)), rel=1e-5
    )
    assert float(dice_loss(logits, targets).sum()) == pytest.approx(
        4 * float(reference_dice(logits, targets, 4)), rel=1e-5
    )
    chances = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    wanted = targets.numpy()
    by_hand = -(wanted * np.log(chances) + (1 - wanted) * np.log(1 - chances)).mean(1)
    np.testing.assert_allclose(ce_loss(logits, targets), by_hand, rtol=1e-4)


def test_same_seed_same_points() -> None:
    """The points depend on the generator's seed alone."""
    first = uncertain_points(ramp(16, 16), WHOLE, 50, 3.0, 0.75, draw(4))
    second = uncertain_points(ramp(16, 16), WHOLE, 50, 3.0, 0.75, draw(4))
    assert torch.equal(first, second)
