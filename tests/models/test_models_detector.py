"""GroundingDINO's official checkpoints, held to the authors' package where there is one.

The package needs transformers 4, so it runs in an environment of its own, named by
OMNICOST_GROUNDINGDINO_PYTHON: a Python with torch, transformers<5, timm, addict, yapf and
groundingdino-py. Without it the comparison is skipped.
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from teacher_world import SPECIAL_IDS, reference_sam

from omnicost.errors import InputError, MissingError
from omnicost.models.detectors.detector import load_detector
from omnicost.models.detectors.official_grounding_dino import rename_official

PYTHON = os.environ.get("OMNICOST_GROUNDINGDINO_PYTHON", "")
WORDS = ("disc", "square", "red", "bar")

# Writes random weights as an official checkpoint, an input, and the package's outputs for it.
REFERENCE = """
import sys
import torch
from pathlib import Path
from safetensors.torch import save_file
from transformers import BertConfig, BertModel
import groundingdino
from groundingdino.models import build_model
from groundingdino.util.misc import NestedTensor
from groundingdino.util.slconfig import SLConfig

folder = Path(sys.argv[1])
configs = Path(groundingdino.__file__).parent / "config"
args = SLConfig.fromfile(str(configs / sys.argv[2]))
BertModel(
    BertConfig(
        vocab_size=1030, hidden_size=64, num_hidden_layers=2, num_attention_heads=1,
        intermediate_size=64,
    )
).save_pretrained(folder)
args.text_encoder_type, args.device, args.num_queries = str(folder), "cpu", 40
args.use_checkpoint = args.use_transformer_ckpt = False
model = build_model(args).eval()
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    for name, value in model.named_parameters():
        fan_in = value[0].numel() if value.ndim > 1 else 16
        value.normal_(0.0, fan_in**-0.5, generator=generator)
        if "norm" in name and name.endswith("weight"):
            value.add_(1.0)
torch.save({"model": {f"module.{n}": v for n, v in model.state_dict().items()}}, sys.argv[3])
pixels = torch.randn(1, 3, 192, 256, generator=generator)
mask = torch.zeros(1, 192, 256, dtype=torch.bool)
with torch.no_grad():
    output = model(NestedTensor(pixels, mask), captions=["disc . square . red bar ."])
save_file(
    {
        "pixels": pixels,
        "logits": output["pred_logits"].contiguous(),
        "boxes": output["pred_boxes"].contiguous(),
    },
    folder / "expected.safetensors",
)
"""


def write_vocabulary(folder: Path) -> None:
    """A BERT vocabulary with the special tokens in their places, for both sides."""
    words = [f"[unused{n}]" for n in range(1030)]
    for word, number in SPECIAL_IDS.items():
        words[number] = word
    words[200 : 200 + len(WORDS)] = WORDS
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": true}'
    )


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="OMNICOST_GROUNDINGDINO_PYTHON is not set")
@pytest.mark.parametrize("config", ["GroundingDINO_SwinT_OGC.py", "GroundingDINO_SwinB_cfg.py"])
def test_official_checkpoint_gives_the_package_s_boxes(tmp_path: Path, config: str) -> None:
    """Token logits and boxes agree to 1e-4 of their standard deviation, itself above 0.1."""
    write_vocabulary(tmp_path)
    checkpoint = tmp_path / "groundingdino_random.pth"
    command = [PYTHON, "-c", REFERENCE, str(tmp_path), config, str(checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = load_file(tmp_path / "expected.safetensors")
    detector = load_detector(str(checkpoint))
    (caption,) = detector.captions(("disc", "square", "red bar"), [0, 1, 2])
    with torch.no_grad():
        output = detector.model(
            pixel_values=expected["pixels"],
            pixel_mask=torch.ones(1, 192, 256, dtype=torch.long),
            input_ids=torch.tensor([caption.input_ids]),
        )
    asked = torch.isfinite(expected["logits"])  # the rest is padding after the caption
    assert torch.equal(torch.isfinite(output.logits), asked)
    for got, wanted in (
        (output.logits[asked], expected["logits"][asked]),
        (output.pred_boxes, expected["boxes"]),
    ):
        spread = float(wanted.std())
        assert spread > 0.1
        assert float((got - wanted).abs().max()) < 1e-4 * spread


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    """A `.pth` of another model is one line; so is one that is not there."""
    path = tmp_path / "groundingdino_swint_ogc.pth"
    torch.save({"model": reference_sam().state_dict()}, path)
    with pytest.raises(InputError, match="not a groundingdino_swin"):
        load_detector(str(path))
    with pytest.raises(MissingError, match="no such file"):
        load_detector(str(tmp_path / "nothing.pth"))


# What holds a weight and a bias in the authors' layers.
LAYERS = {
    "backbone.0.layers.{}.blocks.0": (
        "norm1",
        "attn.qkv",
        "attn.proj",
        "norm2",
        "mlp.fc1",
        "mlp.fc2",
    ),
    "bert.encoder.layer.{}": (
        *(f"attention.{part}" for part in ("self.query", "self.key", "self.value")),
        *("attention.output.dense", "attention.output.LayerNorm", "intermediate.dense"),
        *("output.dense", "output.LayerNorm"),
    ),
    "transformer.encoder.layers.{}": (
        *(f"self_attn.{part}" for part in ("sampling_offsets", "attention_weights")),
        *("self_attn.value_proj", "self_attn.output_proj", "norm1", "linear1", "linear2", "norm2"),
    ),
    "transformer.encoder.text_layers.{}": (
        *("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"),
    ),
    "transformer.encoder.fusion_layers.{}": (
        *("layer_norm_v", "layer_norm_l", "attn.v_proj", "attn.l_proj", "attn.values_v_proj"),
        *("attn.values_l_proj", "attn.out_v_proj", "attn.out_l_proj"),
    ),
    "transformer.decoder.layers.{}": (
        *(f"cross_attn.{part}" for part in ("sampling_offsets", "attention_weights")),
        *("cross_attn.value_proj", "cross_attn.output_proj", "norm1", "ca_text.in_proj"),
        *("ca_text.out_proj", "catext_norm", "self_attn.in_proj", "self_attn.out_proj", "norm2"),
        *("linear1", "linear2", "norm3"),
    ),
    "transformer.decoder.bbox_embed.{}": ("layers.0", "layers.1", "layers.2"),
    "input_proj.{}": ("0", "1"),
}
OUTSIDE = (
    *("backbone.0.patch_embed.proj", "backbone.0.patch_embed.norm", "bert.embeddings.LayerNorm"),
    *(f"backbone.0.norm{stage}" for stage in (1, 2, 3)),
    *(f"backbone.0.layers.{stage}.downsample.norm" for stage in (0, 1, 2)),
    *("bert.pooler.dense", "feat_map", "transformer.enc_output", "transformer.enc_output_norm"),
    *(f"transformer.enc_out_bbox_embed.layers.{n}" for n in (0, 1, 2)),
    *("transformer.decoder.norm", "bbox_embed.0.layers.0"),
    *(f"transformer.decoder.ref_point_head.layers.{n}" for n in (0, 1)),
)
SINGLE = (
    *(f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")),
    *(f"backbone.0.layers.{n}.downsample.reduction.weight" for n in (0, 1, 2)),
    *(
        f"backbone.0.layers.{n}.blocks.0.attn.relative_position_{part}"
        for n in range(4)
        for part in ("bias_table", "index")
    ),
    *(f"transformer.encoder.fusion_layers.{n}.gamma_{side}" for n in range(4) for side in "vl"),
    *("transformer.level_embed", "transformer.tgt_embed.weight", "label_enc.weight"),
    "bert.embeddings.position_ids",
)


def test_every_official_name_is_one_of_transformers() -> None:
    """Of a GroundingDINO of four layers each, so that none of the names' rules is without use."""
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig
    from transformers import GroundingDinoForObjectDetection as Model

    owners = [
        f"{at.format(n)}.{part}" for at, parts in LAYERS.items() for n in range(4) for part in parts
    ]
    names = {f"{owner}.{kind}" for owner in (*owners, *OUTSIDE) for kind in ("weight", "bias")}
    packed = {name.replace("in_proj.", "in_proj_") for name in names}
    tensors = {name: torch.zeros(3, 1) for name in (*packed, *SINGLE)}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(depths=[1, 1, 1, 1], out_indices=[2, 3, 4]),
        text_config=BertConfig(num_hidden_layers=4),
        encoder_layers=4,
        decoder_layers=4,
    )
    with torch.device("meta"):
        own = set(Model(config).state_dict())
    unused = {f"model.backbone.conv_encoder.model.swin.layernorm.{n}" for n in ("weight", "bias")}
    assert set(rename_official(tensors)) == own - unused
