"""Mask2Former's loss against transformers' criterion and against plain formulas."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers.models.mask2former import modeling_mask2former as reference

from omnicost.models.students import criterion
from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.student import ImageTargets

SETTINGS = Mask2FormerSettings(points=400)
CLASSES = 5


def make_targets(
    *counts: int, size: tuple[int, int] = (40, 56), seed: int = 0
) -> list[ImageTargets]:
    generator = torch.Generator().manual_seed(seed)
    return [
        ImageTargets(
            (torch.rand(count, *size, generator=generator) > 0.6).to(torch.uint8),
            torch.randint(CLASSES, (count,), generator=generator),
            torch.ones(count),
        )
        for count in counts
    ]


def make_logits(images: int, queries: int = 9, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = 3 * torch.randn(images, queries, 10, 14, generator=generator)
    return masks, torch.randn(images, queries, CLASSES + 1, generator=generator)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31))
def test_masks_are_read_as_maps_are(count: int, height: int, width: int, seed: int) -> None:
    """Bytes read at points equal grid_sample on the same masks as floats, borders included."""
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(count, height, width, generator=generator) > 0.5).to(torch.uint8)
    points = torch.rand(count, 50, 2, generator=generator)
    read = criterion.read_masks(masks, points, torch.arange(count))
    expected = criterion.read_logits(masks[:, None].float(), points)[:, 0]
    torch.testing.assert_close(read, expected, atol=1e-5, rtol=0)


def test_pairwise_costs_are_transformers() -> None:
    """Matching costs of masks equal those of transformers' matcher."""
    logits, truth = torch.randn(2, 7, 300), (torch.rand(2, 4, 300) > 0.5).float()
    for image in range(2):
        torch.testing.assert_close(
            criterion._pairwise_cross_entropy(logits, truth)[image],
            reference.pair_wise_sigmoid_cross_entropy_loss(logits[image], truth[image]),
        )
        torch.testing.assert_close(
            criterion._pairwise_dice(logits, truth)[image],
            reference.pair_wise_dice_loss(logits[image], truth[image]),
        )


def transformers_losses(
    masks: torch.Tensor, classes: torch.Tensor, targets: list[ImageTargets], points: int
) -> dict[str, torch.Tensor]:
    from transformers import Mask2FormerConfig

    config = Mask2FormerConfig(num_labels=CLASSES, train_num_points=points)
    loss = reference.Mask2FormerLoss(config, {})
    return loss(
        masks, classes, [t.masks.float() for t in targets], [t.classes for t in targets], None
    )


def test_losses_are_transformers() -> None:
    """On many points, where chance averages out, all three terms equal transformers' criterion."""
    targets = make_targets(3, 1, 5)
    masks, classes = make_logits(3)
    many = SETTINGS.model_copy(update={"points": 20_000})
    torch.manual_seed(0)
    ours = criterion.losses([masks], [classes], criterion.collate(targets), many)
    theirs = transformers_losses(masks, classes, targets, 20_000)
    assert ours["class"].item() == pytest.approx(2 * theirs["loss_cross_entropy"].item(), rel=1e-5)
    assert ours["mask"].item() == pytest.approx(5 * theirs["loss_mask"].item(), rel=0.01)
    assert ours["dice"].item() == pytest.approx(5 * theirs["loss_dice"].item(), rel=0.01)


def test_layers_add_up() -> None:
    """Each of the L predictions counts once, at full weight, on points of its own."""
    truth = criterion.collate(make_targets(2, 2))
    layers = [make_logits(2, seed=seed) for seed in range(3)]
    torch.manual_seed(0)
    together = criterion.losses(*map(list, zip(*layers, strict=True)), truth, SETTINGS)
    torch.manual_seed(0)
    apart = [criterion.losses([masks], [classes], truth, SETTINGS) for masks, classes in layers]
    for name, value in together.items():
        assert value.item() == pytest.approx(sum(part[name].item() for part in apart), rel=1e-5)


def test_matching_is_the_cheapest() -> None:
    """No other assignment of four instances to five queries costs less."""
    targets = make_targets(4)
    masks, classes = make_logits(1, queries=5)
    truth = criterion.collate(targets)
    torch.manual_seed(0)
    matches = criterion.match(masks, classes, truth, SETTINGS)
    torch.manual_seed(0)
    points = torch.rand(1, SETTINGS.points, 2)
    wanted = F.grid_sample(truth.masks[None].float(), 2 * points[:, None] - 1, align_corners=False)[
        0, :, 0
    ]
    logits = F.grid_sample(masks, 2 * points[:, None] - 1, align_corners=False)[0, :, 0]
    cost = (
        5 * reference.pair_wise_sigmoid_cross_entropy_loss(logits, wanted)
        + 5 * reference.pair_wise_dice_loss(logits, wanted)
        - 2 * classes[0].softmax(-1)[:, truth.classes]
    )
    best = min(
        itertools.permutations(range(5), 4),
        key=lambda queries: sum(cost[query, place].item() for place, query in enumerate(queries)),
    )
    found = dict(zip(matches.instances.tolist(), matches.queries.tolist(), strict=True))
    assert [found[place] for place in range(4)] == list(best)


def test_perfect_prediction_costs_nearly_nothing() -> None:
    """Queries that are the instances have near-zero losses; "no object" elsewhere."""
    targets = make_targets(3, size=(16, 16))
    masks = torch.full((1, 6, 16, 16), -50.0)
    masks[0, :3] = targets[0].masks.float() * 100 - 50
    classes = torch.full((1, 6, CLASSES + 1), -20.0)
    classes[0, range(3), targets[0].classes] = 20.0
    classes[0, 3:, -1] = 20.0
    truth = criterion.collate(targets)
    matches = criterion.match(masks, classes, truth, SETTINGS)
    assert matches.queries.tolist() == matches.instances.tolist() == [0, 1, 2]
    class_loss = criterion.class_loss(classes, truth, matches, 0.1)
    assert class_loss.item() < 1e-6


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (2, 0, 1)])
def test_images_without_instances(counts: tuple[int, ...]) -> None:
    """Empty images teach "no object", and every output still has a gradient."""
    masks, classes = (part.requires_grad_() for part in make_logits(len(counts)))
    parts = criterion.losses([masks], [classes], criterion.collate(make_targets(*counts)), SETTINGS)
    sum(parts.values()).backward()  # type: ignore[union-attr]
    assert masks.grad is not None
    assert classes.grad is not None
    assert torch.isfinite(masks.grad).all()
    assert bool(masks.grad.any()) == (sum(counts) > 0)
    assert classes.grad[counts.index(0)].any()


def test_more_instances_than_queries() -> None:
    """With nine queries, nine of twelve instances are matched."""
    masks, classes = make_logits(1)
    matches = criterion.match(masks, classes, criterion.collate(make_targets(12)), SETTINGS)
    assert sorted(matches.queries.tolist()) == list(range(9))
    assert len(set(matches.instances.tolist())) == 9


def test_points_are_where_masks_are_uncertain() -> None:
    """Three quarters of the points lie nearer to the zero crossing than chance would have it."""
    ramp = torch.linspace(-10, 10, 64).expand(1, 64, 64)
    torch.manual_seed(0)
    points = criterion.uncertain_points(ramp, SETTINGS)
    distance = (points[0, :, 0] - 0.5).abs().numpy()
    kept = int(0.75 * SETTINGS.points)
    assert len(distance) == SETTINGS.points
    assert np.quantile(distance[:kept], 0.95) < 0.15  # the nearest quarter of the draws
    assert np.mean(distance[kept:]) == pytest.approx(0.25, abs=0.05)  # uniform


def test_weights_scale_an_instance() -> None:
    """An instance of weight 0 teaches no mask; one of weight 1 teaches as always."""
    target = make_targets(2)[0]
    masks, classes = make_logits(1)
    settings_ = SETTINGS.model_copy(update={"points": 5000})

    def mask_loss(weights: list[float]) -> float:
        torch.manual_seed(0)
        truth = criterion.collate(
            [target._replace(weights=torch.tensor(weights, dtype=torch.float32))]
        )
        matches = criterion.match(masks, classes, truth, settings_)
        return criterion.mask_losses(masks, truth, matches, settings_)[0].item()

    assert mask_loss([0.0, 0.0]) == 0
    assert mask_loss([1.0, 0.0]) + mask_loss([0.0, 1.0]) == pytest.approx(mask_loss([1.0, 1.0]))


def weighted_target(*weights: float) -> ImageTargets:
    (target,) = make_targets(len(weights))
    return target._replace(weights=torch.tensor(weights, dtype=torch.float32))


FEW = SETTINGS.model_copy(update={"queries": 8, "no_object_weight": 0.1})
BATCH = [weighted_target(1, 1), weighted_target(0.5, 0.25, 0.75), weighted_target(*[0.2] * 10)]


@pytest.mark.parametrize(
    ("part", "class_share", "mask_share"),
    [
        # Queries weigh 2 + 6 x 0.1, 1.5 + 5 x 0.1 and, with more instances than queries, 8 x 0.2.
        ([0], 2.6 / 6.2, 2 / 15),
        ([1], 2.0 / 6.2, 3 / 15),
        ([2], 1.6 / 6.2, 10 / 15),
        ([0, 2], 4.2 / 6.2, 12 / 15),
        ([0, 1, 2], 1.0, 1.0),
    ],
)
def test_share_of_a_micro_batch(part: list[int], class_share: float, mask_share: float) -> None:
    """By its queries' weights for classes and by its instances for masks, worked out by hand."""
    found = criterion.shares([BATCH[place] for place in part], BATCH, FEW)
    assert found["class"].item() == pytest.approx(class_share, rel=1e-6)
    assert found["mask"].item() == pytest.approx(mask_share, rel=1e-6)
    assert found["dice"].item() == pytest.approx(mask_share, rel=1e-6)


def test_empty_pictures_count_for_classes_only() -> None:
    """A picture without instances is eight times "no object", and nothing to the masks."""
    empty = ImageTargets(torch.zeros(0, 40, 56, dtype=torch.uint8), *map(torch.zeros, ((0,), (0,))))
    found = criterion.shares([BATCH[0]], [BATCH[0], empty], FEW)
    assert found["class"].item() == pytest.approx(2.6 / (2.6 + 0.8), rel=1e-6)
    assert found["mask"].item() == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=5), st.integers(0, 99))
def test_class_losses_of_micro_batches_add_up(counts: list[int], seed: int) -> None:
    """At their shares, the class losses of single pictures are that of the batch, and its share is
    what the class loss divides by."""
    if not any(counts):
        counts[0] = 1
    generator = torch.Generator().manual_seed(seed)
    targets = [  # one weight a picture: with more instances than queries any of them may match
        target._replace(weights=torch.rand(1, generator=generator).expand(len(target.weights)))
        for target in make_targets(*counts, seed=seed)
    ]
    masks, classes = make_logits(len(counts), FEW.queries, seed)

    def class_loss(places: list[int]) -> torch.Tensor:
        truth = criterion.collate([targets[place] for place in places])
        matches = criterion.match(masks[places], classes[places], truth, FEW)
        return criterion.class_loss(classes[places], truth, matches, FEW.no_object_weight)

    everywhere = torch.Generator().manual_seed(seed)
    points = torch.rand(FEW.points, 2, generator=everywhere)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(criterion.torch, "rand", lambda *size, device=None: points.expand(size))
        whole = class_loss(list(range(len(counts))))
        parts = [
            class_loss([place]) * criterion.shares([targets[place]], targets, FEW)["class"]
            for place in range(len(counts))
        ]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, rtol=1e-4, atol=1e-5)


def test_instances_are_counted_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks' losses divide by the instances of an average process, at least one."""

    def other_has_seven(total: torch.Tensor) -> None:
        total += 7

    monkeypatch.setattr(torch.distributed, "all_reduce", other_has_seven)
    assert criterion.collate(make_targets(3, 2), 2).normaliser.item() == 6.0
    assert criterion.collate(make_targets(3, 2), 1).normaliser.item() == 5.0
    empty = [ImageTargets(torch.zeros(0, 4, 4, dtype=torch.uint8), torch.zeros(0), torch.zeros(0))]
    assert criterion.collate(empty, 1).normaliser.item() == 1.0
