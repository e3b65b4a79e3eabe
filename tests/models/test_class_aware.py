"""Eq. 1-2: what the class-aware SAM computes, and what moves when it trains."""

import pytest
import torch
from teacher_world import CHANNELS, PATCH, SIDE, tiny_sam

from omnicost.models.teachers.frame import Prompts
from omnicost.models.teachers.sam import Sam

TEXT = 24
POINTS = torch.tensor([[10.0, 20.0], [40.0, 30.0], [5.0, 60.0]])[:, None]
LABELS = torch.ones(3, 1, dtype=torch.int64)
BOXES = torch.tensor([[4.0, 8.0, 30.0, 40.0], [30.0, 20.0, 60.0, 50.0], [0.0, 50.0, 20.0, 63.0]])
PROMPTS = {
    "box": Prompts(None, None, BOXES),
    "point": Prompts(POINTS, LABELS, None),
    "point_box": Prompts(POINTS, LABELS, BOXES),
}


@pytest.fixture
def image() -> torch.Tensor:
    grid = SIDE // PATCH
    return torch.randn(1, CHANNELS, grid, grid, generator=torch.Generator().manual_seed(0))


def class_text() -> torch.Tensor:
    return torch.randn(3, TEXT, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("multimask", [False, True])
def test_untrained_it_is_sam_bit_for_bit(kind: str, multimask: bool, image: torch.Tensor) -> None:
    """Before the first step the zero layer leaves SAM's tokens, masks and scores as they were."""
    sam = tiny_sam()
    plain, aware = Sam(sam).head(), Sam(sam).head(TEXT)
    expected = plain((image,), None, PROMPTS[kind], None, multimask)
    got = aware((image,), None, PROMPTS[kind], class_text(), multimask)
    assert torch.equal(got.logits, expected.logits)
    assert torch.equal(got.iou, expected.iou)
    points, _, boxes = PROMPTS[kind].parts
    whole = sam(
        image_embeddings=image,
        input_points=None if points is None else points[None],
        input_boxes=None if boxes is None else boxes[None],
        multimask_output=multimask,
    )
    spread = whole.pred_masks.std()
    assert (got.logits - whole.pred_masks[0]).abs().max() < 1e-4 * spread


@pytest.mark.parametrize("kind", PROMPTS)
def test_equations_term_by_term(kind: str) -> None:
    """Z = F_locked(P) + zero(F_train(P) + proj(text)), on every token, padding included."""
    aware = Sam(tiny_sam()).head(TEXT, seed=3)
    with torch.no_grad():
        for parameter in aware.tuned_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    points, labels, boxes = PROMPTS[kind].parts

    def tokens(encoder: torch.nn.Module) -> torch.Tensor:
        return encoder(
            None if points is None else points[None],
            None if labels is None else labels[None],
            None if boxes is None else boxes[None],
            None,
        )[0][0]

    text = class_text()
    text = text / text.square().mean(1, keepdim=True).sqrt()
    branch = aware.class_branch
    projected = text @ branch.text_projection.weight.T + branch.text_projection.bias
    z_text = tokens(branch.trained_encoder) + projected[:, None]
    expected = tokens(aware.prompt_encoder) + z_text @ branch.zero.weight.T + branch.zero.bias
    got = aware.prompt_tokens(PROMPTS[kind], class_text())
    assert torch.allclose(got, expected, atol=1e-5)
    assert got.shape[1] == (3 if kind == "point_box" else 2)
    swapped = aware.prompt_tokens(PROMPTS[kind], class_text().flip(0))
    assert not torch.allclose(got, swapped, atol=1e-3)


def moved(before: dict[str, torch.Tensor], model: torch.nn.Module) -> set[str]:
    names = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    return {name.removeprefix("class_branch.").split(".")[0] for name in names}


@pytest.mark.parametrize("kind", PROMPTS)
def test_what_moves_at_each_step(kind: str, image: torch.Tensor) -> None:
    """Step 1 moves decoder and merge; step 2 also copy and projection; the rest never moves.

    The zero layer passes no gradient until it has moved itself. Weight decay is off.
    """
    sam = tiny_sam()
    image_side = {name: value.clone() for name, value in sam.state_dict().items()}
    aware = Sam(sam).head(TEXT)
    optimizer = torch.optim.AdamW(aware.tuned_parameters().values(), lr=1e-3, weight_decay=0.0)
    seen = []
    for _ in range(2):
        before = {name: value.clone() for name, value in aware.state_dict().items()}
        optimizer.zero_grad()
        aware((image,), None, PROMPTS[kind], class_text()).logits.square().mean().backward()
        optimizer.step()
        seen.append(moved(before, aware))
    assert seen[0] == {"mask_decoder", "zero"}
    assert seen[1] == {"mask_decoder", "zero", "trained_encoder", "text_projection"}
    assert all(torch.equal(value, image_side[name]) for name, value in sam.state_dict().items())


def test_positional_embedding_is_shared_and_frozen() -> None:
    """One positional embedding serves image, locked and trained copy, and is never tuned."""
    sam = tiny_sam()
    aware = Sam(sam).head(TEXT)
    embedding = sam.shared_image_embedding.positional_embedding
    assert aware.prompt_encoder.shared_embedding.positional_embedding is embedding
    assert aware.class_branch.trained_encoder.shared_embedding.positional_embedding is embedding
    assert not embedding.requires_grad
    tuned = aware.tuned_parameters()
    assert not any("positional" in name for name in tuned)
    assert not any(name.startswith("prompt_encoder.") for name in tuned)
    plain = Sam(sam).head().tuned_parameters()
    assert any(name.startswith("prompt_encoder.point_embed") for name in plain)
    assert not any("positional" in name for name in plain)


def test_tuned_parts_are_taken_over(image: torch.Tensor) -> None:
    """What `tuned_parameters` names is enough to make the same teacher again."""
    sam = tiny_sam()
    first, second = Sam(sam).head(TEXT, seed=1), Sam(sam).head(TEXT, seed=2)
    with torch.no_grad():
        for parameter in first.tuned_parameters().values():
            parameter.add_(0.05)
    second.load_tuned({n: p.detach().clone() for n, p in first.tuned_parameters().items()})
    args = ((image,), None, PROMPTS["box"], class_text())
    assert torch.equal(first(*args).logits, second(*args).logits)
    with pytest.raises(ValueError, match="names differ"):
        Sam(sam).head().load_tuned(dict(first.tuned_parameters()))


def test_projection_needs_no_global_seed() -> None:
    """The projection's start depends on its seed alone and leaves torch's generator alone."""
    sam = tiny_sam()
    state = torch.get_rng_state()
    first, second = Sam(sam).head(TEXT, 5).class_branch, Sam(sam).head(TEXT, 5).class_branch
    assert torch.equal(first.text_projection.weight, second.text_projection.weight)
    assert torch.equal(torch.get_rng_state(), state)
    other = Sam(sam).head(TEXT, 6).class_branch
    assert not torch.equal(first.text_projection.weight, other.text_projection.weight)
