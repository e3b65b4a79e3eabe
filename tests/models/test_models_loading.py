"""Specs of weights: what they resolve to, and fingerprints."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from teacher_world import text_folder, tiny_sam

from omnicost.errors import InputError, MissingError
from omnicost.models import loading
from omnicost.models.loading import fingerprint, resolve
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.text import load_text_encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_sam().save_pretrained(tmp_path / "sam")
    return tmp_path / "sam"


def test_folder_and_file_stand_for_themselves(folder: Path) -> None:
    """A path that exists is what is meant."""
    assert resolve(str(folder), "sam") == folder
    assert resolve(str(folder / "model.safetensors"), "sam") == folder / "model.safetensors"


def test_hub_id_resolves_to_the_cache_and_never_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without OMNICOST_DOWNLOAD=1 only the cache is asked; HF_HUB_OFFLINE wins over it."""
    import huggingface_hub

    asked: list[bool] = []

    def snapshot(repository: str, local_files_only: bool, **_: object) -> str:
        asked.append(local_files_only)
        return str(tmp_path / repository)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.delenv(loading.DOWNLOAD_VARIABLE, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert resolve("facebook/sam-vit-base", "sam") == tmp_path / "facebook/sam-vit-base"
    monkeypatch.setenv(loading.DOWNLOAD_VARIABLE, "1")
    resolve("facebook/sam-vit-base@main", "sam")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    resolve("facebook/sam-vit-base", "sam")
    assert asked == [True, False, True]


def test_impossible_id_is_one_line() -> None:
    """Something that cannot be a hub id is not looked up."""
    with pytest.raises(MissingError, match="neither a file, a folder nor a hub id"):
        resolve("sam vit base!", "sam")


def test_fingerprint_follows_the_content(folder: Path, tmp_path: Path) -> None:
    """The same bytes elsewhere have the same fingerprint; one changed weight has another."""
    first = fingerprint(str(folder), "sam")
    copied = shutil.copytree(folder, tmp_path / "copy")
    assert fingerprint(str(copied), "sam") == first
    (copied / "README.md").write_text("documentation does not count")
    assert fingerprint(str(copied), "sam") == first
    model = tiny_sam()
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    model.save_pretrained(copied)
    assert fingerprint(str(copied), "sam") != first


def test_text_features_are_one_row_a_name(tmp_path: Path) -> None:
    """Names become projected features; the template is read around them."""
    encoder = load_text_encoder(text_folder(tmp_path / "text"))
    features = encoder.encode(["disc", "red bar", "disc"])
    assert features.shape == (3, encoder.width)
    assert torch.allclose(features[0], features[2])
    assert not torch.allclose(features[0], features[1], atol=1e-3)
    assert torch.allclose(features[0], encoder.encode(["disc"])[0], atol=1e-5)
    assert not torch.allclose(features[0], encoder.encode(["disc"], "a photo of a {}")[0])
    with pytest.raises(InputError, match="class_prompt"):
        encoder.encode(["disc"], "a photo")


def test_weights_saved_in_half_precision_are_read_in_single(tmp_path: Path) -> None:
    """A folder whose config says bf16 encodes as any other: the steps choose the precision."""
    tiny_sam().to(torch.bfloat16).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    sam = load_promptable(str(tmp_path))
    side = sam.frame.side
    assert sam.encode(torch.zeros(1, 3, side, side))[0].dtype == torch.float32
    assert {part.dtype for part in sam.parameters()} == {torch.float32}
