"""What a student is shown: batches of each step, labels of real and pseudo-masks."""

from typing import Any

import numpy as np
import pytest
import torch
from student_world import MASK, NO_PSEUDO, config_of

from omnicost.data import Dataset
from omnicost.errors import InputError
from omnicost.pipeline.student.data import PseudoLabels, StepBatches, TrainingSet, World


def batches_of(dataset: Dataset, world: World, **schedule: Any) -> StepBatches:
    config = config_of(schedule=schedule)
    strengths = np.full(len(dataset), MASK)
    return StepBatches(TrainingSet(dataset, strengths, NO_PSEUDO, config), config, 0, world)


def test_every_epoch_shows_every_image_once(dataset: Dataset) -> None:
    """Five images that teach something, five draws: each once, in an order of its own."""
    batches = batches_of(dataset, World())
    epochs = [[batches.image_at(draw) for draw in range(5 * e, 5 * e + 5)] for e in range(4)]
    assert all(sorted(epoch) == [0, 1, 2, 4, 5] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_processes_share_each_step(dataset: Dataset) -> None:
    """Two processes see between them exactly the pictures that one sees."""
    alone = batches_of(dataset, World())[7]
    parts = [batches_of(dataset, World(rank, 2))[7] for rank in range(2)]
    shown = [parts[place % 2].images[place // 2] for place in range(4)]
    assert torch.equal(torch.stack(shown), alone.images)


def test_steps_do_not_depend_on_those_before(dataset: Dataset) -> None:
    """A batch is a function of seed and step: this is what resuming and workers rest on."""
    in_order = batches_of(dataset, World())
    first = [in_order[step] for step in range(4)]
    assert torch.equal(batches_of(dataset, World())[3].images, first[3].images)


def pseudo_of(dataset: Dataset, images: list[int]) -> PseudoLabels:
    rows = [
        (int(dataset.image_ids[image]), (int(kind) + 1) % 3, 0.25 * (1 + place), rle["counts"])
        for image in images
        for place, (kind, rle) in enumerate(
            zip(dataset.instances(image).class_indices, dataset.instances(image).rles, strict=True)
        )
    ]
    ids, kinds, scores, counts = zip(*rows, strict=True)
    return PseudoLabels(np.array(ids), np.array(kinds), np.array(scores, np.float32), list(counts))


def test_real_masks_where_labelled_pseudo_masks_elsewhere(dataset: Dataset) -> None:
    """Labelled images teach their ground truth whatever the pseudo-masks say; others these."""
    strengths = np.array([MASK, 2, 2, MASK, 2, 2])
    pseudo = pseudo_of(dataset, [0, 1, 4])
    training = TrainingSet(dataset, strengths, pseudo, config_of())
    truth = dataset.instances(0).class_indices
    assert training.labels(0).classes.tolist() == truth.tolist()
    assert (
        training.labels(1).classes.tolist()
        == ((dataset.instances(1).class_indices + 1) % 3).tolist()
    )
    assert training.indices.tolist() == [0, 1, 4]  # 3 is empty; 2 and 5 have no pseudo-mask
    picture = training.picture(1)
    for patch, whole in zip(picture.patches, dataset.instances(1).masks(), strict=True):
        height, width = patch.pixels.shape
        box = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
        np.testing.assert_array_equal(patch.pixels.astype(bool), whole[box])
        assert patch.pixels.sum() == whole.sum()


def test_pseudo_masks_weigh_one_or_their_score(dataset: Dataset) -> None:
    """Every instance weighs 1 by default; on request a pseudo-mask weighs its score."""
    strengths = np.array([MASK, 2, 2, 2, 2, 2])
    pseudo = pseudo_of(dataset, [1])
    plain = TrainingSet(dataset, strengths, pseudo, config_of())
    scored = TrainingSet(dataset, strengths, pseudo, config_of(pseudo_weight="score"))
    assert set(plain.labels(1).weights.tolist()) == {1.0}
    assert scored.labels(1).weights.tolist() == pseudo.scores.tolist()
    assert set(scored.labels(0).weights.tolist()) == {1.0}


def test_nothing_to_learn_is_an_input_error(dataset: Dataset) -> None:
    """No mask and no pseudo-mask anywhere: said before any training."""
    with pytest.raises(InputError, match="no image has a mask or pseudo-mask"):
        TrainingSet(dataset, np.zeros(6, int), NO_PSEUDO, config_of())
