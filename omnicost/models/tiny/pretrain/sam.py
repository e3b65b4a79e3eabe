"""The tiny SAM: trained on parts, wholes and groups of made-up things, from points and boxes.

None of the things is of a class of a data set: what a class' label leaves out it cannot know.

The losses are the released ones (Kirillov et al. 2023, appendix A): focal and dice at 20 to 1, the
error of the predicted IoU, three masks for a lone point of which the best one learns. Left out is
the interactive part (further points from the error, mask prompts), which the pipeline never uses.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import SamConfig, SamImageProcessor, SamModel

from omnicost.data.seeding import derive_seed, generator
from omnicost.data.tiny.world import SPECS, Scene, render
from omnicost.models.teachers.frame import Frame
from omnicost.models.teachers.sam import decode
from omnicost.models.teachers.teacher import Decoded
from omnicost.models.tiny.pretrain.card import About, write_card
from omnicost.models.tiny.pretrain.loop import Schedule, Trained, train
from omnicost.models.tiny.pretrain.pictures import DATASETS, scenes, tight_boxes
from omnicost.progress import Progress

FOLDER = "sam"
WORLD = "tiny-things"
SCHEDULE = Schedule(
    steps=1600,
    learning_rate=1.2e-3,
    warmup_steps=250,
    weight_decay=0.02,
    average_decay=0.998,
    evaluate_every=600,
)
SIDE = 64  # of the input frame: that of the pictures
PATCH = 4
WIDTH = 96
LAYERS = 4
GLOBAL_LAYERS = (2,)  # the others attend within windows, as in SAM
WINDOW = 8  # patches
HEADS = 3
POOL = 8_000  # training pictures, drawn when first met
SCENES_PER_STEP = 8
PROMPTS_PER_SCENE = {"box": 3, "point": 2, "point_box": 1}
SEGMENT_PERCENT = 75  # of the targets are wholes, groups or stretches of a label; the rest parts
BOX_NOISE_SHARE = 0.1  # standard deviation, of the box' side (SAM)
BOX_NOISE_PIXELS = 2.0  # at most; SAM's 20 of 1,024, rounded up
FOCAL_WEIGHT, DICE_WEIGHT, IOU_WEIGHT = 20.0, 1.0, 1.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
HELD_OUT_PICTURES = 100  # of each data set
PROMPTS_AT_ONCE = 64  # when measuring; bounds the memory


def build() -> SamModel:
    """The model before training."""
    config = SamConfig(
        vision_config={
            "hidden_size": WIDTH,
            "output_channels": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": SIDE,
            "patch_size": PATCH,
            "window_size": WINDOW,
            "global_attn_indexes": list(GLOBAL_LAYERS),
            "num_pos_feats": WIDTH // 2,
            "initializer_range": 0.02,  # the default, 1e-10, is for weights about to be loaded
        },
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": SIDE, "patch_size": PATCH},
        mask_decoder_config={
            "hidden_size": WIDTH,
            "mlp_dim": 2 * WIDTH,
            "num_attention_heads": HEADS,
            "iou_head_hidden_dim": WIDTH,
        },
    )
    torch.manual_seed(derive_seed("tiny", "sam", "weights"))
    model = SamModel(config)
    _fix_positions(model)
    return model


def _fix_positions(model: SamModel) -> None:
    """Draw the random positional code at SAM's scale, 1, and keep it out of training.

    transformers derives the scale from the encoder's width (48 here), which encodes positions so
    finely that nothing is learnt.
    """
    code = model.shared_image_embedding.positional_embedding
    nn.init.normal_(code, std=1.0)
    code.requires_grad_(False)
    model.prompt_encoder.shared_embedding.positional_embedding = code


class Targets(NamedTuple):
    """What to segment: T masks in B pictures, with the prompts that ask for them.

    Attributes:
        images: (B, 64, 64, 3) uint8.
        scene_index: (T,) int64, the picture of each mask.
        masks: (T, 64, 64) bool.
        points: (T, 2) float32, the centre of a pixel of the mask.
        boxes: (T, 4) float32, tight or jittered.
        prompts: (T,), the kind of prompt that asks for it.
    """

    images: NDArray[np.uint8]
    scene_index: NDArray[np.int64]
    masks: NDArray[np.bool_]
    points: NDArray[np.float32]
    boxes: NDArray[np.float32]
    prompts: NDArray[np.str_]

    def take(self, rows: slice) -> Targets:
        """Some of the masks, of the same pictures."""
        of_masks: Any = (part[rows] for part in self[1:])
        return Targets(self.images, *of_masks)


class _Packed(NamedTuple):
    """A scene's picture, its segments and its parts as bits."""

    image: NDArray[np.uint8]
    segment_bits: NDArray[np.uint8]
    part_bits: NDArray[np.uint8]


@lru_cache(maxsize=POOL)
def _packed_scene(index: int) -> _Packed:
    scene = render(SPECS[WORLD], "train", index)
    return _Packed(
        scene.image, np.packbits(scene.segments, axis=2), np.packbits(scene.parts, axis=2)
    )


def training_targets(step: int) -> Targets:
    """The batch of a step."""
    draw = generator("tiny", "sam", "batch", step)
    prompts = np.repeat(list(PROMPTS_PER_SCENE), list(PROMPTS_PER_SCENE.values()))
    images: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.bool_]] = []
    while len(images) < SCENES_PER_STEP:
        packed = _packed_scene(int(draw.integers(POOL)))
        if len(packed.segment_bits) and len(packed.part_bits):
            images.append(packed.image)
            masks.append(_some_masks(packed, len(prompts), draw))
    stacked = np.concatenate(masks)
    return Targets(
        np.stack(images),
        np.repeat(np.arange(len(images)), len(prompts)),
        stacked,
        random_points(stacked, draw),
        _jittered(tight_boxes(stacked), draw),
        np.tile(prompts, len(images)),
    )


def _some_masks(packed: _Packed, count: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    is_segment = draw.integers(100, size=count) < SEGMENT_PERCENT
    segments = packed.segment_bits[draw.integers(len(packed.segment_bits), size=count)]
    parts = packed.part_bits[draw.integers(len(packed.part_bits), size=count)]
    bits = np.where(is_segment[:, None, None], segments, parts)
    return np.unpackbits(bits, axis=2).astype(bool)


def random_points(masks: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[np.float32]:
    """The centre of one pixel of each mask, every pixel equally likely."""
    points = np.empty((len(masks), 2), np.float32)
    for row, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        chosen = draw.integers(len(rows))
        points[row] = columns[chosen] + 0.5, rows[chosen] + 0.5
    return points


def _jittered(boxes: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    noise = draw.normal(size=boxes.shape) * sides * BOX_NOISE_SHARE
    limited = np.clip(noise, -BOX_NOISE_PIXELS, BOX_NOISE_PIXELS)
    return np.clip(boxes + limited, 0, SIDE).astype(np.float32)


def embed(model: SamModel, images: NDArray[np.uint8]) -> Tensor:
    """Image embeddings, (B, C, 16, 16), with gradients."""
    return model.vision_encoder(Frame(SIDE).pixel_values(list(images)))[0]


def ask(
    model: SamModel, embedding: Tensor, targets: Targets, prompt: str
) -> tuple[Tensor, Decoded]:
    """Rows of the targets that a kind of prompt asks for, and the answers.

    A lone point gets the three masks of the multi-mask output, the others the single one.
    """
    rows = np.flatnonzero(targets.prompts == prompt)
    prompts = Frame(SIDE).prompts(
        targets.points[rows] if "point" in prompt else None,
        targets.boxes[rows] if "box" in prompt else None,
        (SIDE, SIDE),
    )
    points, labels, boxes = prompts.parts
    sparse, _ = model.prompt_encoder(
        input_points=None if points is None else points[:, None],
        input_labels=None if labels is None else labels[:, None],
        input_boxes=None if boxes is None else boxes[:, None],
        input_masks=None,
    )
    answer = decode(
        model.mask_decoder,
        embedding,
        torch.from_numpy(targets.scene_index[rows]),
        model.get_image_wide_positional_embeddings(),
        sparse.flatten(0, 1),
        model.prompt_encoder.no_mask_embed.weight[0],
        multimask=prompt == "point",
    )
    return torch.from_numpy(rows), answer


def mask_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Focal and dice loss, weighted, of each of (T, M) answers; `masks` is (T, H, W) float."""
    wanted = masks[:, None].expand_as(logits)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = 1 - torch.exp(-cross_entropy)
    alpha = FOCAL_ALPHA * wanted + (1 - FOCAL_ALPHA) * (1 - wanted)
    focal = (alpha * missed**FOCAL_GAMMA * cross_entropy).mean((2, 3))
    shares = logits.sigmoid()
    both, either = (shares * wanted).sum((2, 3)), (shares + wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    return FOCAL_WEIGHT * focal + DICE_WEIGHT * dice


@torch.no_grad()
def ious(logits: Tensor, masks: Tensor) -> Tensor:
    """IoU of (T, M, H, W) answers, cut at 0, with (T, H, W) masks; (T, M)."""
    answered, wanted = logits > 0, masks[:, None] > 0.5
    both, either = (answered & wanted).sum((2, 3)), (answered | wanted).sum((2, 3))
    return both / either.clamp(min=1)


def _loss_at(model: SamModel, step: int, skipped: int = 0) -> tuple[Tensor, dict[str, float]]:
    targets = training_targets(skipped + step)
    masks = torch.from_numpy(targets.masks).float()
    embedding = embed(model, targets.images)
    total, figures = torch.zeros(()), {}
    for prompt in PROMPTS_PER_SCENE:
        rows, answer = ask(model, embedding, targets, prompt)
        losses = mask_losses(answer.logits, masks[rows])
        overlap = ious(answer.logits, masks[rows])
        share = len(rows) / len(masks)
        error = functional.mse_loss(answer.iou, overlap)
        total = total + share * (losses.min(dim=1).values.mean() + IOU_WEIGHT * error)
        figures[f"{prompt} iou"] = overlap.max(dim=1).values.mean().item()
    return total, figures


def held_out_targets(pictures: Sequence[Scene], prompt: str, world: str) -> Targets:
    """Every labelled instance of some pictures, asked for by a uniform point or a tight box."""
    masks = np.concatenate([scene.masks for scene in pictures])
    return Targets(
        np.stack([scene.image for scene in pictures]),
        np.repeat(np.arange(len(pictures)), [len(scene.masks) for scene in pictures]),
        masks,
        random_points(masks, generator("tiny", "sam", "held out", world)),
        tight_boxes(masks),
        np.full(len(masks), prompt),
    )


@torch.no_grad()
def figures(model: SamModel, pictures: int | None = None) -> dict[str, float]:
    """Mean IoU on held-out instances of the data sets, of which the model has seen none.

    Args:
        pictures: of each data set; `HELD_OUT_PICTURES` by default.

    Returns:
        ``dataset/box``: of the mask from a tight box; ``dataset/point``: of the one of three masks
        that the model itself thinks best; ``dataset/best of three``: of the one that is best.
    """
    model.eval()
    found: dict[str, float] = {}
    for world in DATASETS:
        drawn = scenes(world, "val", range(pictures or HELD_OUT_PICTURES))
        embedding = embed(model, np.stack([scene.image for scene in drawn]))
        overlap, _ = _overlaps(model, embedding, held_out_targets(drawn, "box", world))
        found[f"{world}/box"] = overlap.mean().item()
        overlap, rated = _overlaps(model, embedding, held_out_targets(drawn, "point", world))
        chosen = rated.argmax(dim=1, keepdim=True)
        found[f"{world}/point"] = overlap.gather(1, chosen).mean().item()
        found[f"{world}/best of three"] = overlap.max(dim=1).values.mean().item()
    return found


def _overlaps(model: SamModel, embedding: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """IoU of every answer, (T, M), and what the model takes it for; all prompts of one kind."""
    overlaps, ratings = [], []
    for first in range(0, len(targets.masks), PROMPTS_AT_ONCE):
        part = targets.take(slice(first, first + PROMPTS_AT_ONCE))
        _, answer = ask(model, embedding, part, part.prompts[0])
        overlaps.append(ious(answer.logits, torch.from_numpy(part.masks)))
        ratings.append(answer.iou)
    return torch.cat(overlaps), torch.cat(ratings)


def save(model: SamModel, folder: Path) -> None:
    """Write the model like a released SAM, its weights in half precision.

    The config asks for single precision, so that they are loaded as such.
    """
    model.save_pretrained(folder, state_dict=copy.deepcopy(model).half().state_dict())
    frame, longest = {"height": SIDE, "width": SIDE}, {"longest_edge": SIDE}
    SamImageProcessor(
        size=longest, pad_size=frame, mask_size=longest, mask_pad_size=frame
    ).save_pretrained(folder)


def pretrain(folder: Path, work: Path, schedule: Schedule, report: Progress | None) -> None:
    """Train the model in ``work`` and write it and its card into ``folder``.

    The learning rate goes up and down twice, the second time a sixth less high and for longer.
    """
    again = replace(
        schedule,
        steps=schedule.steps * 13 // 8,
        learning_rate=schedule.learning_rate * 5 / 6,
        warmup_steps=schedule.warmup_steps // 5,
    )
    total = schedule.steps + again.steps
    model = build()
    first = _train(model, schedule, work, 0, total, report)
    second = _train(model, again, work / "again", schedule.steps, total, report)
    save(model, folder)
    shipped = SamModel.from_pretrained(folder)
    seconds = first.seconds + second.seconds
    write_card(folder, _about(), Trained(shipped, total, seconds, figures(shipped)))


def _train(
    model: SamModel,
    schedule: Schedule,
    work: Path,
    skipped: int,
    total: int,
    report: Progress | None,
) -> Trained:
    """One cycle, on the batches that come after `skipped` steps."""

    def report_all(done: int, _: int, latest: dict[str, float]) -> None:
        if report is not None:
            report(skipped + done, total, latest)

    loss_at = partial(_loss_at, model, skipped=skipped)
    return train(model, loss_at, schedule, work, evaluate=figures, report=report_all)


def _about() -> About:
    prompts = ", ".join(f"{count} {prompt}" for prompt, count in PROMPTS_PER_SCENE.items())
    return About(
        recipe="sam",
        title="Tiny SAM",
        summary=(
            "A Segment Anything model for 64 x 64 pictures in the format of facebook/sam-vit-huge. "
            "Figures are mean IoU, without any training on the data set, on every instance of "
            f"{HELD_OUT_PICTURES} held-out pictures: from a tight box; from a random point, with "
            "the mask of three that the model itself rates highest; with the best of the three. It "
            "is weak on objects under 80 pixels: its grid has a cell for every 16."
        ),
        data=(
            f"parts, wholes and groups of the made-up things in {WORLD}, none of a data set's "
            f"class; {SCENES_PER_STEP} of {POOL:,} pictures a step, prompts for each: {prompts}"
        ),
    )
