"""What runs in 16 bits, what in TF32, and what in neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from promptables import MAKERS, PROMPTS, TEXT, class_text, wrapped
from teacher_world import detector_folder, write_dataset

from omnicost.data.tiny.world import SPECS, render
from omnicost.models.detectors.detector import load_detector
from omnicost.models.teachers.frame import Frame
from omnicost.models.teachers.teacher import load_promptable
from omnicost.pipeline.compute import autocast, float32_products
from omnicost.pipeline.config import Precision


def how_cuda_multiplies() -> tuple[bool, bool]:
    """Whether matrices and convolutions may be in TF32."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "wanted"),
    [("fp32", False), ("tf32", True), ("bf16", True), ("fp16", True)],
)
def test_tf32_is_for_a_step_and_only_where_it_is_asked_for(
    precision: Precision, wanted: bool
) -> None:
    """Matrices and convolutions alike; torch's own setting comes back, after errors too."""
    before = how_cuda_multiplies()
    with float32_products(precision):
        assert how_cuda_multiplies() == (wanted, wanted)
        assert torch.get_float32_matmul_precision() == ("high" if wanted else "highest")
    assert how_cuda_multiplies() == before
    with pytest.raises(RuntimeError, match="full"), float32_products(precision):
        raise RuntimeError("full")
    assert how_cuda_multiplies() == before


def test_tf32_is_left_to_cuda_and_known_to_torch_compile() -> None:
    """Processors multiply as before; what torch.compile asks for can be told."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    with float32_products("tf32"), autocast("cpu", "tf32"):
        assert torch.backends.mkldnn.matmul.fp32_precision == before
        assert torch.get_float32_matmul_precision() == "high"
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == torch.float32
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_prompts_and_ratings_keep_their_digits_in_bf16(name: str) -> None:
    """Tokens are the same bit for bit; a rating is no number of 8 bits; masks agree."""
    ours = wrapped(MAKERS[name]())
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = ours.encode(pixels)
    for head, text in ((ours.head(), None), (ours.head(TEXT), class_text())):
        prompts = PROMPTS["points_box"]
        wanted_tokens = head.prompt_tokens(prompts, text)
        wanted = head(features, None, prompts, text)
        with autocast("cpu", "bf16"):
            tokens = head.prompt_tokens(prompts, text)
            got = head(features, None, prompts, text)
        assert torch.equal(tokens, wanted_tokens)
        assert got.iou.dtype == torch.float32
        assert not torch.equal(got.iou, got.iou.bfloat16().float())
        agreed = (got.logits > 0) == (wanted.logits > 0)
        assert agreed.float().mean() > 0.97


@torch.no_grad()
def test_bf16_teacher_draws_the_same_masks() -> None:
    """The tiny SAM's masks of discs, squares and bars agree to an IoU of 0.97 on average."""
    sam = load_promptable("tiny")
    head, frame = sam.head(), sam.frame
    boxes = np.array([[10.0, 12.0, 30.0, 31.0], [35.0, 20.0, 60.0, 50.0]])
    image = np.full((64, 64, 3), 90, np.uint8)
    image[12:31, 10:30] = (200, 40, 40)
    image[20:50, 35:60] = (30, 60, 220)
    features = sam.encode(frame.pixel_values([image]))
    prompts = Frame(64).prompts(None, boxes, (64, 64))
    wanted = head(features, None, prompts).logits > 0
    with autocast("cpu", "bf16"):
        got = head(features, None, prompts).logits > 0
    overlap = (got & wanted).sum((1, 2, 3)) / (got | wanted).sum((1, 2, 3))
    assert wanted.any()
    assert overlap.mean() > 0.97


def test_bf16_detector_finds_the_same_boxes() -> None:
    """The tiny detector's confident boxes move by under 1% of the side, scores by under 0.1."""
    detector, spec = load_detector("tiny"), SPECS["tiny-coco"]
    captions = detector.captions(spec.class_names, range(len(spec.class_names)))
    found = 0
    for index in range(6):
        pixels = detector.pixels([render(spec, "val", index).image])
        for caption in captions:
            (wanted,) = detector.ask(pixels, [caption])
            with autocast("cpu", "bf16"):
                (got,) = detector.ask(pixels, [caption])
            assert (got.boxes.dtype, got.scores.dtype) == (torch.float32, torch.float32)
            sure = wanted.scores.amax(1) > 0.3
            apart = (wanted.boxes[sure, None] - got.boxes[None]).abs().amax(2).min(1)
            scores = got.scores.amax(1)[apart.indices]
            found += int(sure.sum())
            assert bool((apart.values < 0.01).all())
            assert bool(((scores - wanted.scores.amax(1)[sure]).abs() < 0.1).all())
    assert found > 6


def test_bf16_mm_grounding_dino_runs(tmp_path: Path) -> None:
    """Its boxes and scores come in fp32, finite, with nothing said of padding."""
    dataset = write_dataset(tmp_path / "data", images=2)
    detector = load_detector(detector_folder(tmp_path / "mm", family="MMGroundingDino"))
    captions = detector.captions(("disc", "square", "red bar"), [0, 1, 2])
    with autocast("cpu", "bf16"):
        (got,) = detector.ask(detector.pixels([dataset.image(0)]), captions)
    assert (got.boxes.dtype, got.scores.dtype) == (torch.float32, torch.float32)
    assert bool(got.boxes.isfinite().all())
    assert bool(((got.scores >= 0) & (got.scores <= 1)).all())
