"""GroundingDINO's training loss: sets of boxes against tokens of a caption.

transformers' own ``labels=`` loss offsets class labels wrongly from the third picture of a batch
on, and sends no gradient to the encoder's proposals; so the loss is computed here from the model's
outputs, with each picture's own token targets, on the encoder's best proposals and on every
decoder layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert, generalized_box_iou

# Coefficients of loss and matching of the GroundingDINO paper, section 4.1, and its focal loss.
CLASS_COEFFICIENT, BOX_COEFFICIENT, OVERLAP_COEFFICIENT = 2.0, 5.0, 2.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
ENCODER_POSITIONS = 40  # best proposals that the encoder's loss looks at
SPECIAL_TOKENS = (0, 101, 102, 1012, 1029)  # [PAD] [CLS] [SEP] . ?


class BoxTargets(NamedTuple):
    """Ground truth of one picture: boxes as centre and size in shares of the picture's side.

    ``tokens (N, T) bool`` marks the caption's tokens that name each object; ``boxes (N, 4)``.
    """

    tokens: Tensor
    boxes: Tensor


class Predictions(NamedTuple):
    """One set: ``logits (B, Q, T)`` over the caption's tokens and ``boxes (B, Q, 4)`` as above."""

    logits: Tensor
    boxes: Tensor


def phrase_tokens(input_ids: Tensor) -> Tensor:
    """Tokens ``(P, T) bool`` of each of the P phrases of one caption ``(T,)``, in its order."""
    special = torch.isin(input_ids, input_ids.new_tensor(SPECIAL_TOKENS))
    group = torch.where(special, -1, special.cumsum(0))
    return group[None] == group[~special].unique()[:, None]


def all_predictions(model: Any, inputs: dict[str, Tensor]) -> list[Predictions]:
    """The encoder's best proposals, then every decoder layer, of a GroundingDINO model.

    Logits of padding are ``-inf``, as in the model's own output.
    """
    outputs = model.model(**inputs)
    length = inputs["input_ids"].shape[1]
    encoder = outputs.enc_outputs_class[..., :length]
    best = encoder.max(-1).values.topk(min(ENCODER_POSITIONS, encoder.shape[1]), dim=1).indices
    rows = torch.arange(len(best))[:, None]
    sets = [
        Predictions(encoder[rows, best], outputs.enc_outputs_coord_logits[rows, best].sigmoid())
    ]
    references = [outputs.init_reference_points, *outputs.intermediate_reference_points.unbind(1)]
    mask = inputs["attention_mask"].bool()
    for layer, hidden in enumerate(outputs.intermediate_hidden_states.unbind(1)):
        text = outputs.encoder_last_hidden_state_text
        logits = model.class_embed[layer](hidden, text, mask)[..., :length]
        start = torch.special.logit(references[layer], eps=1e-5)
        sets.append(Predictions(logits, (model.bbox_embed[layer](hidden) + start).sigmoid()))
    return sets


def detection_loss(sets: Sequence[Predictions], targets: Sequence[BoxTargets]) -> dict[str, Tensor]:
    """Weighted ``class``, ``box`` and ``overlap`` losses, summed over the sets, per object."""
    objects = max(1, sum(len(target.boxes) for target in targets))
    total: dict[str, Tensor] = {}
    for predictions in sets:
        for name, value in _set_loss(predictions, targets).items():
            total[name] = total.get(name, torch.zeros(())) + value / objects
    return total


def _set_loss(predictions: Predictions, targets: Sequence[BoxTargets]) -> dict[str, Tensor]:
    pictures, queries, objects = _matched(predictions, targets)
    wanted = torch.zeros_like(predictions.logits)
    wanted[pictures, queries] = torch.cat([t.tokens for t in targets])[objects].float()
    real = predictions.logits.isfinite()
    focal = _focal(predictions.logits[real], wanted[real]).sum()
    boxes, truth = predictions.boxes[pictures, queries], torch.cat([t.boxes for t in targets])
    truth = truth[objects]
    overlap = torch.diag(generalized_box_iou(_corners(boxes), _corners(truth)))
    return {
        "class": CLASS_COEFFICIENT * focal,
        "box": BOX_COEFFICIENT * (boxes - truth).abs().sum(),
        "overlap": OVERLAP_COEFFICIENT * (1 - overlap).sum(),
    }


@torch.no_grad()
def _matched(
    predictions: Predictions, targets: Sequence[BoxTargets]
) -> tuple[Tensor, Tensor, Tensor]:
    """Picture, query and object (counted over all pictures) of every matched pair."""
    costs = _costs(predictions, targets)
    pictures, queries, objects = [], [], []
    first = 0
    for picture, target in enumerate(targets):
        own = slice(first, first + len(target.boxes))
        rows, columns = linear_sum_assignment(costs[picture, :, own].numpy())
        pictures += [picture] * len(rows)
        queries += rows.tolist()
        objects += (columns + first).tolist()
        first = own.stop
    return torch.tensor(pictures), torch.tensor(queries), torch.tensor(objects)


def _costs(predictions: Predictions, targets: Sequence[BoxTargets]) -> Tensor:
    """Matching costs ``(B, Q, objects of all pictures)``; only a picture's own are meaningful.

    The class part is the mean over the tokens of a name.
    """
    logits, boxes = predictions
    tokens = torch.cat([target.tokens for target in targets]).float()
    truth = torch.cat([target.boxes for target in targets])
    gain = _focal(logits, torch.ones_like(logits)) - _focal(logits, torch.zeros_like(logits))
    gain = torch.where(logits.isfinite(), gain, 0.0)
    share = tokens / tokens.sum(1, keepdim=True).clamp(min=1)
    flat = boxes.flatten(0, 1)
    overlap = generalized_box_iou(_corners(flat), _corners(truth))
    places = BOX_COEFFICIENT * torch.cdist(flat, truth, p=1) - OVERLAP_COEFFICIENT * overlap
    return CLASS_COEFFICIENT * gain @ share.T + places.unflatten(0, boxes.shape[:2])


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss of every element (RetinaNet, eq. 5)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    share = logits.sigmoid()
    missed = wanted * (1 - share) + (1 - wanted) * share
    alpha = wanted * FOCAL_ALPHA + (1 - wanted) * (1 - FOCAL_ALPHA)
    return alpha * missed**FOCAL_GAMMA * entropy


def _corners(boxes: Tensor) -> Tensor:
    return box_convert(boxes, "cxcywh", "xyxy")
