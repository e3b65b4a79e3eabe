"""GroundingDINO, trained on tiny-web to find what its caption names.

The backbone starts from the tiny ResNet, as the released model's starts from ImageNet weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    ResNetBackbone,
)

from omnicost.data.seeding import derive_seed, generator
from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.tiny.pretrain import backbone
from omnicost.models.tiny.pretrain.card import About, write_card
from omnicost.models.tiny.pretrain.detection_figures import caption_of, figures
from omnicost.models.tiny.pretrain.detection_loss import (
    BoxTargets,
    all_predictions,
    detection_loss,
    phrase_tokens,
)
from omnicost.models.tiny.pretrain.loop import Schedule, summed, train
from omnicost.models.tiny.pretrain.pictures import (
    DATASETS,
    MEAN,
    POOL,
    STD,
    WEB,
    tight_boxes,
    to_pixel_values,
    web_scenes,
)
from omnicost.models.tiny.pretrain.vocabulary import bert_tokenizer
from omnicost.progress import Progress

FOLDER = "detector"
SCHEDULE = Schedule(
    steps=2000,
    horizon=6000,
    learning_rate=6e-4,
    warmup_steps=200,
    weight_decay=1e-3,
    checkpoint_every=200,
    evaluate_every=500,
)
SCENES_PER_STEP = 8
WIDTH = 64
QUERIES = 30
BACKBONE_STAGES = 3  # strides 4, 8 and 16
# Captions of a step's pictures: their own classes, or those and a few absent ones. Few, for a
# detector that has seen long captions is not misled by them, as the released ones are.
CAPTION_SHARES = {"own": 0.8, "some": 0.2}
MOST_ABSENT = 4
ABOUT = About(
    recipe="detector",
    title="Tiny GroundingDINO",
    summary=(
        "A GroundingDINO of omnicost's tiny world in the format of "
        "IDEA-Research/grounding-dino-tiny. `present` captions name the picture's own "
        "classes, `all` captions every class of the data set; `AP50` is COCO's for boxes, in "
        "[0, 1]; `recall` (IoU 0.5) and `false` boxes a picture are at confidence 0.3. A class "
        "scores as the best of its tokens."
    ),
    data=f"boxes and names of {WEB}, {SCENES_PER_STEP} of {POOL:,} pictures a step; the "
    "backbone starts from the tiny ResNet",
)


def build(tokenizer: BertTokenizer) -> GroundingDinoForObjectDetection:
    """The model before training, all of it random."""
    text = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone.build(BACKBONE_STAGES).config,
        text_config=text,
        d_model=WIDTH,
        num_queries=QUERIES,
        num_feature_levels=BACKBONE_STAGES,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        dropout=0.0,
        fusion_droppath=0.0,
        init_std=0.12,  # at 0.02, made for a width of 256, nothing this narrow learns
    )
    torch.manual_seed(derive_seed("tiny", "detector", "weights"))
    model = GroundingDinoForObjectDetection(config)
    # transformers freezes a ResNet but for stages that it names otherwise: all of it, that is.
    model.model.unfreeze_backbone()
    _start_unsure(model)
    return model


@torch.no_grad()
def _start_unsure(model: GroundingDinoForObjectDetection) -> None:
    """Let every logit start near -4, as a focal loss wants; logits are products, without a bias.

    Both sides of the product end in a norm: its scale tames the product, opposite offsets shift it.
    """
    inner = model.model
    text = inner.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    for norm, offset in ((inner.decoder.layer_norm, -1), (inner.enc_output_norm, -1), (text, 1)):
        norm.weight.fill_(0.5)
        norm.bias.fill_(offset * 2 / WIDTH**0.5)


def start_backbone(model: GroundingDinoForObjectDetection, folder: Path) -> None:
    """Copy the stages that ``model`` has from the backbone saved in ``folder``."""
    source = ResNetBackbone.from_pretrained(folder).state_dict()
    own = model.model.backbone.conv_encoder.model
    wanted = own.state_dict()
    own.load_state_dict({name: source[name] for name in wanted})


def asked_classes(
    pictures: Sequence[Scene], random: np.random.Generator, classes: int
) -> list[list[int]]:
    """Classes of each picture's caption, in random order, of a kind drawn for the whole step."""
    caption = random.choice(list(CAPTION_SHARES), p=list(CAPTION_SHARES.values()))
    captions = []
    for scene in pictures:
        own = {int(index) for index in scene.class_indices}
        absent = random.permutation([i for i in range(classes) if i not in own])
        extra = int(random.integers(1, MOST_ABSENT + 1)) if caption == "some" else 0
        asked = [*own, *(int(index) for index in absent[:extra])]
        captions.append([int(index) for index in random.permutation(asked)])
    return captions


def targets_of(
    pictures: Sequence[Scene], captions: Sequence[Sequence[int]], input_ids: Tensor
) -> list[BoxTargets]:
    """Ground truth of each picture against the tokens of its caption."""
    targets = []
    for scene, asked, ids in zip(pictures, captions, input_ids, strict=True):
        place = {class_index: phrase for phrase, class_index in enumerate(asked)}
        phrases = [place[int(index)] for index in scene.class_indices]
        boxes = torch.from_numpy(tight_boxes(scene.masks)) / scene.image.shape[0]
        targets.append(
            BoxTargets(phrase_tokens(ids)[phrases], box_convert(boxes, "xyxy", "cxcywh"))
        )
    return targets


def _loss_at(
    model: Any, tokenizer: BertTokenizer, names: Sequence[str], step: int
) -> tuple[Tensor, dict[str, float]]:
    random = generator("tiny", "detector", "batch", step)
    pictures = web_scenes(FOLDER, step, SCENES_PER_STEP)
    captions = asked_classes(pictures, random, len(names))
    texts = [caption_of([names[index] for index in asked]) for asked in captions]
    inputs = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    targets = targets_of(pictures, captions, inputs["input_ids"])
    images = np.stack([scene.image for scene in pictures])
    inputs["pixel_values"] = to_pixel_values(images, MEAN, STD)
    return summed(detection_loss(all_predictions(model, inputs), targets))


def save(model: Any, tokenizer: BertTokenizer, folder: Path) -> None:
    """Write the model like a released GroundingDINO, with tokenizer and image processor."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 128}
    GroundingDinoImageProcessor(size=size, image_mean=MEAN, image_std=STD).save_pretrained(folder)


def pretrain(folder: Path, work: Path, schedule: Schedule, report: Progress | None) -> None:
    """Train the model in ``work`` and write it, its tokenizer and its card into ``folder``.

    Starts from the backbone beside ``folder``, or from the shipped one.
    """
    names = SPECS[WEB].class_names
    words = [name for world in (WEB, *DATASETS) for name in SPECS[world].class_names]
    tokenizer = bert_tokenizer(words)
    model = build(tokenizer)
    start_backbone(model, backbone.folder_beside(folder))
    trained = train(
        model,
        partial(_loss_at, model, tokenizer, names),
        schedule,
        work,
        evaluate=lambda model: figures(model, tokenizer),
        report=report,
    )
    save(model, tokenizer, folder)
    write_card(folder, ABOUT, trained)
