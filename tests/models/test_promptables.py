"""SAM, SAM 2 and SAM-HQ behind the one seam, held to transformers' own forward.

What is asked of every family is asked here; `test_models_sam`, `test_class_aware` hold SAM itself
to the authors' package and Eq. 1-2 to their terms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from promptables import (
    MAKERS,
    PROMPTS,
    TEXT,
    TOLERANCE,
    Family,
    asked_of_transformers,
    class_text,
    first,
    mend,
    wrapped,
)
from teacher_world import (
    CHANNELS,
    SIDE,
    WIDTH,
    randomise,
    sam2_parts,
    tiny_sam2,
    write_dataset,
)

from omnicost.errors import InputError
from omnicost.models.teachers.frame import Frame, join_prompts
from omnicost.models.teachers.size import Size, size_of
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.teachers.two_way import flat_maps, nested_maps
from omnicost.pipeline import embed
from omnicost.pipeline.config import EmbedConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder


@pytest.fixture(scope="module", params=MAKERS)
def family(request: pytest.FixtureRequest) -> Family:
    theirs = MAKERS[request.param]()
    ours = wrapped(theirs)
    if request.param == "sam_hq":
        mend(theirs)
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours.encode(pixels)
    return Family(theirs, ours, pixels, features)


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("multimask", [False, True])
@torch.no_grad()
def test_masks_are_those_of_transformers(family: Family, kind: str, multimask: bool) -> None:
    """Same weights, same picture, same prompts: logits to 1e-5 of their spread, IoU to 1e-5."""
    head = family.ours.head()
    got = head(first(family.features), None, PROMPTS[kind], None, multimask, released=True)
    logits, iou = asked_of_transformers(family.theirs, family.pixels[:1], PROMPTS[kind], multimask)
    if family.theirs.config.model_type == "sam_hq" and multimask:  # theirs come best first
        order = got.iou.argsort(1, descending=True)
        rows = torch.arange(len(order))[:, None]
        got = got._replace(logits=got.logits[rows, order], iou=got.iou[rows, order])
    assert logits.std() > 0.1
    assert float((got.logits - logits).abs().max()) < TOLERANCE * float(logits.std())
    torch.testing.assert_close(got.iou, iou, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("released", [False, True])
@torch.no_grad()
def test_at_step_0_a_class_aware_teacher_is_the_released_model_bit_for_bit(
    family: Family, kind: str, multimask: bool, released: bool
) -> None:
    """The zero layer of Eq. 2 leaves every logit and estimate as it was."""
    plain, aware = family.ours.head(), family.ours.head(TEXT, seed=4)
    rest = (first(family.features), None, PROMPTS[kind])
    expected = plain(*rest, None, multimask, released)
    got = aware(*rest, class_text(), multimask, released)
    assert torch.equal(got.logits, expected.logits)
    assert torch.equal(got.iou, expected.iou)


@pytest.mark.parametrize("token", [0, 1, 2])
@torch.no_grad()
def test_single_mask_can_start_as_any_of_the_three(family: Family, token: int) -> None:
    """After `lead_with` the single mask and its rating are those of that multi-mask token."""
    head = family.ours.head()
    assert head.multimask_tokens == 3
    rest = (first(family.features), None, PROMPTS["point"], None)
    before = head(*rest)
    three = head(*rest, True)
    head.lead_with(token)
    single = head(*rest)
    # Not to the last bit: tokens attend to each other, and the first has changed.
    wanted, spread = three.logits[:, token], float(three.logits.std())
    changed = float((before.logits[:, 0] - wanted).abs().mean())
    assert float((single.logits[:, 0] - wanted).abs().mean()) < 0.5 * changed
    assert changed > 0.1 * spread
    decoder, rating = head.mask_decoder, head.mask_decoder.iou_prediction_head.proj_out
    for rows in (decoder.mask_tokens.weight, rating.weight, rating.bias):
        assert torch.equal(rows[0], rows[token + 1])


@torch.no_grad()
def test_prompts_of_several_pictures_are_drawn_together(family: Family) -> None:
    """One batch over two pictures gives what each gives alone."""
    head, owner = family.ours.head(), torch.tensor([1, 0, 1])
    prompts = PROMPTS["points_box"]
    together = head(family.features, owner, prompts)
    for row, picture in enumerate(owner.tolist()):
        features = tuple(level[picture, None] for level in family.features)
        alone = head(features, None, prompts.take(slice(row, row + 1)))
        spread = float(alone.logits.std())
        assert float((together.logits[row] - alone.logits[0]).abs().max()) < 1e-4 * spread


@pytest.mark.parametrize("text_width", [None, TEXT])
def test_training_moves_what_it_names_and_nothing_else(
    family: Family, text_width: int | None
) -> None:
    """Two steps move head, branch and never the released model, its frame or its positions."""
    before = {name: value.clone() for name, value in family.ours.state_dict().items()}
    head = family.ours.head(text_width)
    tuned = head.tuned_parameters()
    assert not any("position" in name or "conv_s" in name for name in tuned)
    if text_width is not None:
        assert not any(name.startswith("prompt_encoder.") for name in tuned)
    start = {name: value.clone() for name, value in head.state_dict().items()}
    optimizer = torch.optim.AdamW(tuned.values(), lr=1e-3, weight_decay=0.0)
    text = None if text_width is None else class_text()
    for _ in range(2):
        optimizer.zero_grad()
        decoded = head(first(family.features), None, PROMPTS["points_box"], text)
        decoded.logits.square().mean().backward()
        optimizer.step()
    moved = {n for n, v in head.state_dict().items() if not torch.equal(v, start[n])}
    assert moved <= tuned.keys()
    assert {name.split(".")[0] for name in moved} == (
        {"prompt_encoder", "mask_decoder"} if text is None else {"class_branch", "mask_decoder"}
    )
    for name, value in family.ours.state_dict().items():
        assert torch.equal(value, before[name])


def test_tuned_parts_make_the_same_teacher_again(family: Family) -> None:
    """What is stored is enough, and goes into no model of another family."""
    one, two = family.ours.head(TEXT, 1), family.ours.head(TEXT, 2)
    with torch.no_grad():
        for value in one.tuned_parameters().values():
            value.add_(0.05)
    two.load_tuned({name: value.detach() for name, value in one.tuned_parameters().items()})
    args = (first(family.features), None, PROMPTS["box"], class_text())
    assert torch.equal(one(*args).logits, two(*args).logits)
    others = [make for kind, make in MAKERS.items() if kind != family.theirs.config.model_type]
    for make in others:
        with pytest.raises(ValueError, match="names differ"):
            wrapped(make()).head(TEXT).load_tuned(dict(one.tuned_parameters()))


def test_features_have_the_sizes_that_the_config_tells(family: Family) -> None:
    """A cache can be laid out before a picture is encoded."""
    assert [tuple(level.shape[1:]) for level in family.features] == list(family.ours.levels)
    assert family.ours.frame.side == SIDE


def test_cache_holds_every_level_of_every_family(tmp_path: Path, family: Family) -> None:
    """All levels come back in fp16, cached and in passing alike; the limit counts them all."""
    dataset = write_dataset(tmp_path / "data", images=4)
    family.theirs.save_pretrained(tmp_path / "model")
    numbers = sum(int(np.prod(level)) for level in family.ours.levels)
    config = EmbedConfig(limit_gigabytes=3 * 2 * numbers / 1e9, batch_images=2, shard_images=2)
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    embed.run(dataset, str(tmp_path / "model"), config, out=out, work=work)
    encoder = ImageEncoder(family.ours, config)
    cached = Embeddings([out], dataset, lambda: encoder)
    assert sum(index in cached for index in range(4)) == 3
    assert sum(np.load(file).nbytes for file in out.glob("*.npy")) == 3 * 2 * numbers
    for index in range(4):
        with torch.no_grad():
            features = family.ours.encode(family.ours.frame.pixel_values([dataset.image(index)]))
        for got, expected, shape in zip(
            cached.get(index), features, family.ours.levels, strict=True
        ):
            assert (got.dtype, got.shape) == (np.float16, shape)
            np.testing.assert_allclose(got, expected[0], atol=2e-2, rtol=2e-3)


def test_sam2_takes_another_mask_where_the_released_one_is_unstable() -> None:
    """As released; a tuned teacher draws with the token that was tuned."""
    theirs = tiny_sam2()
    ours = wrapped(theirs)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours.encode(pixels)
        theirs.mask_decoder.dynamic_multimask_stability_delta = 1e6  # no outline is that sure
        head = ours.head()
        unstable = head(features, None, PROMPTS["box"], released=True)
        logits, iou = asked_of_transformers(theirs, pixels, PROMPTS["box"], False)
        tuned = head(features, None, PROMPTS["box"])
        three = head(features, None, PROMPTS["box"], multimask=True)
    torch.testing.assert_close(unstable.logits, logits, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(unstable.iou, iou)
    best = three.iou.argmax(1)
    torch.testing.assert_close(unstable.logits[:, 0], three.logits[torch.arange(3), best])
    assert not torch.allclose(unstable.logits, tuned.logits)


def test_sam2_frame_is_filled_by_both_sides() -> None:
    """Pictures are stretched as transformers' processor does; prompts and masks follow."""
    from transformers import Sam2ImageProcessor

    frame, size = Frame(SIDE, stretched=True), (40, 90)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    processor = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
    expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
    level = 1 / 255 / 0.224  # one grey level: Pillow rounds, torchvision may not
    assert float((frame.pixel_values([image])[0] - expected).abs().max()) < 1.01 * level
    moved = frame.prompts(np.array([[45.5, 20.5]]), np.array([[0.0, 0.0, 90.0, 40.0]]), size)
    np.testing.assert_allclose(moved.boxes, [[0, 0, SIDE, SIDE]])
    np.testing.assert_allclose(moved.points, [[[SIDE / 2, SIDE / 2]]])
    assert frame.extent(size) == (1.0, 1.0)
    logits = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    masks = processor.post_process_masks(logits[None, :, None], [size], binarize=False)[0]
    torch.testing.assert_close(frame.full_size_logits(logits, size), masks[:, 0])


def test_sam2_of_the_hub_is_a_video_model_and_loads_as_its_image_half(tmp_path: Path) -> None:
    """facebook/sam2.1-hiera-* say `sam2_video`: the memory's tensors are left unread."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    memory = {
        "memory_attention_hidden_size": CHANNELS,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": WIDTH,
        "memory_attention_rope_feat_sizes": [8, 8],
        "memory_encoder_hidden_size": CHANNELS,
        "memory_encoder_output_channels": 8,
        "memory_fuser_embed_dim": CHANNELS,
        "memory_fuser_intermediate_dim": WIDTH,
        "mask_downsampler_embed_dim": CHANNELS,
    }
    video = randomise(Sam2VideoModel(Sam2VideoConfig(**sam2_parts(), image_size=SIDE, **memory)))
    video.save_pretrained(tmp_path)
    loaded = load_promptable(str(tmp_path))
    assert loaded.levels == wrapped(tiny_sam2()).levels
    tensors = video.state_dict()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, tensors[name]), name


def test_folder_of_another_model_names_those_that_will_do(tmp_path: Path) -> None:
    """`model_type` is read before any weight."""
    (tmp_path / "config.json").write_text('{"model_type": "sam3"}')
    with pytest.raises(InputError, match=r"'sam3'.*sam, sam2, sam2_video, sam_hq"):
        load_promptable(str(tmp_path))


def test_joined_prompts_pad_fewer_points() -> None:
    """Prompts of unlike numbers of points share a batch, the lacking ones marked as padding."""
    one = PROMPTS["point"].take(slice(0, 1))
    joined = join_prompts([one, PROMPTS["points"]])
    assert joined.points is not None
    assert joined.labels is not None
    assert joined.points.shape == (4, 2, 2)
    assert joined.labels[0].tolist() == [1, -1]
    assert len(join_prompts([PROMPTS["box"], PROMPTS["box"]])) == 6
    assert len(PROMPTS["neither"]) == 3


@pytest.mark.parametrize("scale", [2, 4])
def test_nested_order_is_that_of_two_by_two_children(scale: int) -> None:
    """Maps go into the decoder's order and back unchanged."""
    maps = torch.arange(2 * 3 * scale * 2 * scale * 5).float().view(2, 3, scale * 2, scale * 5)
    nested = nested_maps(maps, 2, 5)
    assert nested.shape == (2, 10, scale * scale, 3)
    if scale == 4:
        back = flat_maps(nested.flatten(1, 2).transpose(1, 2), 2, 5)
        assert torch.equal(back, maps)
    else:
        assert torch.equal(nested[0, 0, :, 0], maps[0, 0, :2, :2].flatten())


# The released ones: facebook/sam-vit-base and -huge, sam2.1-hiera-tiny and -large, sam-hq-vit-base.
RELEASED = {
    "sam base": ("SamConfig", {}),
    "sam huge": (
        "SamConfig",
        {
            "hidden_size": 1280,
            "num_hidden_layers": 32,
            "num_attention_heads": 16,
            "global_attn_indexes": [7, 15, 23, 31],
            "mlp_dim": 5120,
        },
    ),
    "sam2 tiny": ("Sam2Config", {}),
    "sam2 large": (
        "Sam2Config",
        {
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 144,
                "num_attention_heads": 2,
                "blocks_per_stage": [2, 6, 36, 4],
                "embed_dim_per_stage": [144, 288, 576, 1152],
                "num_attention_heads_per_stage": [2, 4, 8, 16],
                "window_size_per_stage": [8, 4, 16, 8],
                "global_attention_blocks": [23, 33, 43],
            },
            "backbone_channel_list": [1152, 576, 288, 144],
        },
    ),
    "sam_hq base": ("SamHQConfig", {}),
}


# Layer by layer, by hand: of windows, strides and widths, and of what no prompt shares.
BY_HAND = {
    "sam base": Size(8.946e7, 4.860e11, 1.342e9, 1_048_576, 201_326_592),
    "sam huge": Size(6.363e8, 2.981e12, 1.342e9, 1_048_576, 268_435_456),
    "sam2 tiny": Size(2.717e7, 1.462e11, 1.342e9, 4_194_304, 25_165_824),
    "sam2 large": Size(2.124e8, 9.114e11, 1.342e9, 4_194_304, 37_748_736),
    "sam_hq base": Size(8.946e7, 4.860e11, 3.758e9, 4_194_304, 201_326_592),
}


@pytest.mark.parametrize("name", RELEASED)
def test_sizes_are_those_of_the_released_models(name: str, tmp_path: Path) -> None:
    """Parameters and a picture's multiply-adds to 1%, a prompt's to 10%, the others exactly."""
    import transformers

    config_name, vision = RELEASED[name]
    getattr(transformers, config_name)(vision_config=vision).save_pretrained(tmp_path)
    size, expected = size_of(str(tmp_path)), BY_HAND[name]
    assert size is not None
    assert size[:2] == pytest.approx(expected[:2], rel=0.01)
    assert size.decode_macs == pytest.approx(expected.decode_macs, rel=0.1)
    assert size[3:] == expected[3:]
