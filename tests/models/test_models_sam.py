"""SAM: the authors' weights and results, through transformers and through our decoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from teacher_world import CHANNELS, PATCH, SIDE, randomise, reference_sam, tiny_sam

from omnicost.errors import InputError, MissingError
from omnicost.models.teachers.frame import Frame
from omnicost.models.teachers.official_sam import rename_official
from omnicost.models.teachers.sam import decode
from omnicost.models.teachers.teacher import load_promptable

TOLERANCE = 1e-4  # of the reference's standard deviation


def same(ours: torch.Tensor, reference: torch.Tensor) -> None:
    spread = float(reference.std())
    assert spread > 0.1, f"the reference hardly varies ({spread})"
    assert float((ours - reference).abs().max()) < TOLERANCE * spread


@pytest.fixture(scope="module")
def pair() -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same random weights in `segment_anything` and in transformers."""
    reference, ours = reference_sam(), tiny_sam(seed=1)
    ours.load_state_dict(rename_official(reference.state_dict()))
    return reference, ours


def prompts(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 2, generator=generator) * SIDE
    corners = torch.rand(count, 2, 2, generator=generator) * SIDE
    return points, torch.cat([corners.amin(1), corners.amax(1)], 1)


@torch.no_grad()
def test_image_encoder_agrees_with_the_reference(pair: tuple) -> None:
    """Same weights, same picture, same embedding."""
    reference, ours = pair
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    same(ours.vision_encoder(pixels).last_hidden_state, reference.image_encoder(pixels))


@pytest.mark.parametrize("kind", ["box", "point", "point_box"])
@torch.no_grad()
def test_prompt_encoder_agrees_with_the_reference(pair: tuple, kind: str) -> None:
    """Boxes, points and both become the same tokens; the positional embedding is the same."""
    reference, ours = pair
    points, boxes = prompts(5)
    labels = torch.ones(5, 1)
    expected, dense = reference.prompt_encoder(
        points=(points[:, None], labels) if "point" in kind else None,
        boxes=boxes if "box" in kind else None,
        masks=None,
    )
    sparse, our_dense = ours.prompt_encoder(
        input_points=points[None, :, None] if "point" in kind else None,
        input_labels=labels[None] if "point" in kind else None,
        input_boxes=boxes[None] if "box" in kind else None,
        input_masks=None,
    )
    same(sparse[0], expected)
    same(our_dense[0], dense[0])
    same(ours.get_image_wide_positional_embeddings(), reference.prompt_encoder.get_dense_pe())


@pytest.mark.parametrize("multimask", [False, True])
@torch.no_grad()
def test_decode_agrees_with_the_reference_and_with_transformers(
    pair: tuple, multimask: bool
) -> None:
    """Our arrangement of the decoder's work gives the reference's masks and IoU estimates."""
    reference, ours = pair
    grid = SIDE // PATCH
    image = torch.randn(1, CHANNELS, grid, grid, generator=torch.Generator().manual_seed(0))
    sparse, dense = reference.prompt_encoder(None, prompts(7)[1], None)
    masks, iou = reference.mask_decoder(
        image, reference.prompt_encoder.get_dense_pe(), sparse, dense, multimask
    )
    position = ours.get_image_wide_positional_embeddings()
    no_mask = ours.prompt_encoder.no_mask_embed.weight[0]
    got = decode(ours.mask_decoder, image, None, position, sparse, no_mask, multimask)
    same(got.logits, masks)
    same(got.iou, iou)
    theirs, _ = ours.mask_decoder(image, position, sparse[None], dense[:1], multimask)
    same(got.logits, theirs[0])


@torch.no_grad()
def test_decode_serves_several_pictures_at_once() -> None:
    """Prompts of several pictures in one batch give what each picture gives alone."""
    sam = tiny_sam()
    grid = SIDE // PATCH
    images = torch.randn(3, CHANNELS, grid, grid, generator=torch.Generator().manual_seed(0))
    owner = torch.tensor([0, 2, 2, 1, 0])
    sparse = sam.prompt_encoder(None, None, prompts(5)[1][None], None)[0][0]
    rest = (sam.get_image_wide_positional_embeddings(),)
    no_mask = sam.prompt_encoder.no_mask_embed.weight[0]
    together = decode(sam.mask_decoder, images, owner, *rest, sparse, no_mask).logits
    for row in range(5):
        image = images[owner[row]][None]
        alone = decode(sam.mask_decoder, image, None, *rest, sparse[row, None], no_mask).logits
        same(together[row], alone[0])


@pytest.mark.parametrize("size", [(48, 64), (37, 20), (64, 64), (333, 500)])
def test_frame_is_the_reference_s(size: tuple[int, int]) -> None:
    """Scaling, padding, normalisation and the way back are `segment_anything`'s, to the bit."""
    from segment_anything.utils.transforms import ResizeLongestSide

    reference = reference_sam()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    transform = ResizeLongestSide(SIDE)
    resized = torch.from_numpy(transform.apply_image(image)).permute(2, 0, 1)
    assert Frame(SIDE).size_of(size) == tuple(resized.shape[1:])
    expected = reference.preprocess(resized)
    assert torch.equal(Frame(SIDE).pixel_values([image])[0], expected)
    logits = torch.randn(2, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(0))
    back = reference.postprocess_masks(logits[:, None], tuple(resized.shape[1:]), size)[:, 0]
    assert torch.equal(Frame(SIDE).full_size_logits(logits, size), back)
    boxes = np.array([[1.0, 2.0, 17.0, 19.0]])
    moved = Frame(SIDE).prompts(boxes[:, :2] + 0.5, boxes, size)
    np.testing.assert_allclose(moved.boxes, transform.apply_boxes(boxes, size), rtol=1e-6)
    np.testing.assert_allclose(
        moved.points[:, 0], transform.apply_coords(boxes[:, :2], size), rtol=1e-6
    )


def test_official_file_of_unknown_size_is_refused(tmp_path: Path) -> None:
    """A `.pth` that is not a SAM B, L or H gives one line, not a traceback."""
    path = tmp_path / "sam_vit_b.pth"
    torch.save(reference_sam().state_dict(), path)
    with pytest.raises(InputError, match=r"sam_vit_b\.pth: not a sam_vit"):
        load_promptable(str(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        load_promptable(str(path))


def test_missing_weights_say_where_and_how() -> None:
    """A hub id that is not in the cache: one line with the id, the cache and the command."""
    with pytest.raises(MissingError) as caught:
        load_promptable("facebook/sam-vit-imaginary")
    line = str(caught.value)
    assert "\n" not in line
    assert "facebook/sam-vit-imaginary" in line
    assert "hf download facebook/sam-vit-imaginary" in line
    with pytest.raises(MissingError, match="no such file or folder"):
        load_promptable("./nowhere/sam.pth")


def test_incomplete_folder_is_refused(tmp_path: Path) -> None:
    """A folder that lacks tensors, or whose weights are cut short, is one line."""
    from safetensors.torch import load_file, save_file

    sam = tiny_sam()
    sam.save_pretrained(tmp_path)
    restored = load_promptable(str(tmp_path)).model
    assert all(
        torch.equal(value, restored.state_dict()[name]) for name, value in sam.state_dict().items()
    )
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    first = sorted(tensors)[0]
    save_file({k: v for k, v in tensors.items() if k != first}, file, {"format": "pt"})
    with pytest.raises(InputError, match="1 tensors missing"):
        load_promptable(str(tmp_path))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match="not a complete"):
        load_promptable(str(tmp_path))


@pytest.mark.slow
@torch.no_grad()
def test_official_vit_b_gives_the_reference_s_masks(tmp_path: Path) -> None:
    """A `sam_vit_b` file written by `segment_anything` loads and gives its masks, full size."""
    from segment_anything import sam_model_registry

    reference = randomise(sam_model_registry["vit_b"]()).eval()
    path = tmp_path / "sam_vit_b_random.pth"
    torch.save(reference.state_dict(), path)
    ours = load_promptable(str(path)).model
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    image = reference.image_encoder(pixels)
    same(ours.vision_encoder(pixels).last_hidden_state, image)
    boxes = torch.tensor([[100.0, 200.0, 500.0, 700.0], [10.0, 10.0, 90.0, 60.0]])
    sparse, dense = reference.prompt_encoder(None, boxes, None)
    same(ours.prompt_encoder(None, None, boxes[None], None)[0][0], sparse)
    position = reference.prompt_encoder.get_dense_pe()
    masks, _ = reference.mask_decoder(image, position, sparse, dense, False)
    no_mask = ours.prompt_encoder.no_mask_embed.weight[0]
    got = decode(ours.mask_decoder, image, None, position, sparse, no_mask)
    same(got.logits, masks)
