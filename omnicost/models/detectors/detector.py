"""What the pipeline asks of a detector: captions of class names, class scores of its queries."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import torch

from omnicost.errors import InputError, OmnicostError
from omnicost.models.detectors.official_grounding_dino import from_official
from omnicost.models.loading import (
    model_type_of,
    read_folder,
    read_pth,
    read_tokenizer,
    resolve,
)

# GroundingDINO's Swin-B was trained on COCO among others, its Swin-T was not (IDEA-Research/
# GroundingDINO, README); of MM-GroundingDINO's those that are named after "all" data sets were
# (mmdetection, configs/mm_grounding_dino).
_SEEN_COCO = re.compile(
    r"grounding-?dino[-_](base|swinb)|mm_grounding_dino_\w+_all\b", re.IGNORECASE
)
SWIN_B_WIDTH = 128  # of its first stage; Swin-T's is 96

# transformers' `model_type` -> its class; all of them take and give what GroundingDINO does.
REGISTRY: Final = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}
BERT: Final = "google-bert/bert-base-uncased"  # what an official `.pth` was trained with


class Caption(NamedTuple):
    """Class names as one text, ``[CLS] name . name . [SEP]``."""

    input_ids: tuple[int, ...]
    class_indices: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]  # first and past-the-last token of each class


class Queries(NamedTuple):
    """What the detector says about one image under one caption: Q queries, C classes."""

    boxes: torch.Tensor  # (Q, 4) float32, x0 y0 x1 y1 in shares of the image
    scores: torch.Tensor  # (Q, C) float32


@dataclass(frozen=True)
class Detector:
    """A frozen detector with the tokenizer and preprocessing that it was trained with."""

    model: Any  # transformers.*GroundingDinoForObjectDetection
    tokenizer: Any
    processor: Any  # transformers.GroundingDinoImageProcessor

    def captions(self, names: Sequence[str], class_indices: Sequence[int]) -> list[Caption]:
        """Captions that hold some classes, as few as the model's text length allows.

        Args:
            names: all K class names.
            class_indices: which of them to ask for.

        Raises:
            InputError: if one name alone is too long.
        """
        limit = int(self.model.config.max_text_len)
        tokens = [(index, _tokens(self.tokenizer, names[index])) for index in class_indices]
        for index, ids in tokens:
            if len(ids) + 3 > limit:
                raise InputError(
                    f"class {names[index]!r}", f"longer than {limit} tokens", "shorten its name"
                )
        return [_caption(self.tokenizer, part) for part in _packed(tokens, limit - 2)]

    def pixels(self, images: Sequence[Any]) -> dict[str, torch.Tensor]:
        """``pixel_values`` and ``pixel_mask`` of ``(H, W, 3) uint8`` images of one size."""
        batch = self.processor(
            images=list(images), return_tensors="pt", input_data_format="channels_last"
        )
        return {name: batch[name] for name in ("pixel_values", "pixel_mask")}

    @torch.no_grad()
    def ask(
        self,
        pixels: dict[str, torch.Tensor],
        captions: Sequence[Caption],
        score: Literal["max", "mean"] = "max",
    ) -> list[Queries]:
        """One caption for each image.

        A class scores the largest or the mean probability of its tokens. Phrases are never decoded
        to text, which would merge classes.
        """
        device = self.model.device
        length = max(len(caption.input_ids) for caption in captions)
        ids = torch.full((len(captions), length), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, caption in enumerate(captions):
            ids[row, : len(caption.input_ids)] = torch.tensor(caption.input_ids)
            mask[row, : len(caption.input_ids)] = 1
        output = self.model(
            **{name: value.to(device) for name, value in pixels.items()},
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            token_type_ids=torch.zeros_like(ids).to(device),
        )
        chances = output.logits.float().sigmoid().cpu()
        boxes = _corners(output.pred_boxes.float().cpu())
        return [
            Queries(boxes[row], class_scores(chances[row], caption.spans, score))
            for row, caption in enumerate(captions)
        ]


def class_scores(
    chances: torch.Tensor, spans: Sequence[tuple[int, int]], score: Literal["max", "mean"]
) -> torch.Tensor:
    """``(Q, C)`` class scores from ``(Q, L)`` token probabilities."""
    parts = [chances[:, start:end] for start, end in spans]
    if score == "max":
        return torch.stack([part.amax(1) for part in parts], 1)
    return torch.stack([part.mean(1) for part in parts], 1)


def load_detector(spec: str, device: str = "cpu") -> Detector:
    """A frozen detector in evaluation mode.

    Args:
        spec: ``tiny``, hub id, folder, or official ``groundingdino_swin{t,b}*.pth`` (its tokenizer
            beside it or in the hub cache).
        device: a torch device.

    Raises:
        MissingError, InputError: if weights or vocabulary are absent or damaged.
    """
    path = resolve(spec, "detector")
    detector = _of_official_file(path) if path.is_file() else _of_folder(path)
    detector.model.to(device).eval().requires_grad_(False)
    return detector


def _of_folder(path: Path) -> Detector:
    import transformers  # takes a second

    model_class = getattr(transformers, REGISTRY[model_type_of(path, "detector", REGISTRY)])
    model = read_folder(model_class.from_pretrained, path, "detector")
    processor = transformers.GroundingDinoImageProcessor
    has_settings = (path / "preprocessor_config.json").exists()
    return Detector(
        model,
        read_tokenizer(path, "detector"),
        processor.from_pretrained(path, local_files_only=True) if has_settings else processor(),
    )


def _of_official_file(path: Path) -> Detector:
    from transformers import GroundingDinoImageProcessor

    model = from_official(read_pth(path, "detector"), path)
    is_beside = any((path.parent / name).exists() for name in ("tokenizer.json", "vocab.txt"))
    vocabulary = path.parent if is_beside else resolve(BERT, "detector")
    return Detector(model, read_tokenizer(vocabulary, "detector"), GroundingDinoImageProcessor())


def trained_on_coco(spec: str) -> bool:
    """Whether a spec names a checkpoint known to have learnt from COCO's boxes.

    Known by the authors' name for it, or, under any other, by its Swin-B backbone. False where
    the weights are not on this machine and the name says nothing.
    """
    return bool(_SEEN_COCO.search(spec)) or _swin_width(spec) == SWIN_B_WIDTH


def _swin_width(spec: str) -> int | None:
    try:
        path = resolve(spec, "detector")
        if path.is_file():
            return len(read_pth(path, "detector")["backbone.0.patch_embed.proj.weight"])
        config = json.loads((path / "config.json").read_text())
        is_authors = config["model_type"] == "grounding-dino"
        return int(config["backbone_config"]["embed_dim"]) if is_authors else None
    except (OmnicostError, OSError, ValueError, KeyError, TypeError):
        return None


def _tokens(tokenizer: Any, name: str) -> list[int]:
    """Token ids of a class name, lower case; its own dots would end the phrase too early."""
    clean = " ".join(re.sub(r"[.?]", " ", name.lower().replace("_", " ")).split())
    return tokenizer(clean, add_special_tokens=False)["input_ids"]


def _packed(
    tokens: Sequence[tuple[int, list[int]]], room: int
) -> list[list[tuple[int, list[int]]]]:
    """The classes in parts whose tokens, with a dot after each class, fit the room."""
    parts: list[list[tuple[int, list[int]]]] = []
    used = room + 1
    for index, ids in tokens:
        used += len(ids) + 1
        if used > room:
            parts.append([])
            used = len(ids) + 1
        parts[-1].append((index, ids))
    return parts


def _caption(tokenizer: Any, classes: Sequence[tuple[int, list[int]]]) -> Caption:
    dot = tokenizer.convert_tokens_to_ids(".")
    ids = [tokenizer.cls_token_id]
    spans = []
    for _, tokens in classes:
        spans.append((len(ids), len(ids) + len(tokens)))
        ids += [*tokens, dot]
    ids.append(tokenizer.sep_token_id)
    return Caption(tuple(ids), tuple(index for index, _ in classes), tuple(spans))


def _corners(boxes: torch.Tensor) -> torch.Tensor:
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)
