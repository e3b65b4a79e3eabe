"""Weights that are absent, damaged or another model's: one line each, and never the network."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from omnicost.errors import InputError, MissingError
from omnicost.models import loading
from omnicost.models.detectors.detector import load_detector, trained_on_coco
from omnicost.models.loading import WeightsRole, fingerprint
from omnicost.models.students.backbone import read_backbone
from omnicost.models.students.start import read_start
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.text import load_text_encoder
from omnicost.models.tiny import TINY_MODELS, weights_path

# The tiny student may not have been pretrained yet.
KINDS = [kind for kind in get_args(WeightsRole) if kind != "student" or "student" in TINY_MODELS]
LOAD: dict[str, Callable[[str], Any]] = {
    "sam": load_promptable,
    "detector": load_detector,
    "text": load_text_encoder,
    "backbone": read_backbone,
    "student": read_start,
}
OFFICIAL = ("sam", "detector")  # those whose authors publish single files


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach another machine fails the test."""

    def refuse(*arguments: object, **_: object) -> None:
        pytest.fail(f"asked the network for {arguments[0]}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def folder_of(kind: str) -> Path:
    return loading.resolve("tiny", kind)  # type: ignore[arg-type]


def copied(kind: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of(kind), tmp_path / kind))


def line_of(kind: str, spec: object) -> str:
    """The one line that loading ends with; it names what was asked for."""
    with pytest.raises(InputError) as caught:
        LOAD[kind](str(spec))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith((f"{kind} weights {spec}: ", f"{kind} tokenizer {spec}: "))
    return line


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_weights_load_without_the_network(kind: str) -> None:
    """A folder on this machine asks nobody."""
    LOAD[kind](str(folder_of(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_folder_that_is_not_there(kind: str, tmp_path: Path) -> None:
    """The path as it was given."""
    assert "no such file or folder" in line_of(kind, tmp_path / "nowhere")


@pytest.mark.parametrize("kind", KINDS)
def test_folder_without_weights(kind: str, tmp_path: Path) -> None:
    """config.json alone is not a checkpoint; nor is an empty folder, which has no fingerprint."""
    folder = copied(kind, tmp_path)
    (folder / "model.safetensors").unlink()
    assert "no file named model.safetensors" in line_of(kind, folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no config.json" in line_of(kind, empty)
    with pytest.raises(MissingError, match="the folder holds none"):
        fingerprint(str(empty), kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_weights(kind: str, tmp_path: Path) -> None:
    """Half a file, and one of no byte: an interrupted copy."""
    folder = copied(kind, tmp_path)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    for part in (content[: len(content) // 2], b""):
        weights.write_bytes(part)
        line = line_of(kind, folder)
        assert "not a complete transformers checkpoint" in line
        assert "get the weights again" in line


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_config(kind: str, tmp_path: Path) -> None:
    """A config that is no JSON, or names no model."""
    folder = copied(kind, tmp_path)
    for text in ("{", "[]", "{}"):
        (folder / "config.json").write_text(text)
        assert "its config.json names no model" in line_of(kind, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_model(kind: str) -> None:
    """The folder of another model says which it is, before a weight is read."""
    for other in KINDS:
        if other != kind:
            line = line_of(kind, folder_of(other))
            assert "holds a model of type" in line
            assert f"name a {kind} model" in line


@pytest.mark.parametrize("kind", ["detector", "text"])
def test_folder_without_vocabulary(kind: str, tmp_path: Path) -> None:
    """Without its words a text encoder would read all of them as unknown, and say nothing."""
    folder = copied(kind, tmp_path)
    (folder / "tokenizer.json").unlink()
    assert "no vocabulary in it" in line_of(kind, folder)
    (folder / "tokenizer.json").write_text("{}")
    assert "damaged" in line_of(kind, folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_single_files(kind: str, suffix: str, tmp_path: Path) -> None:
    """Rubbish in a file is damage, where single files are read at all; else name a folder."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"rubbish")
    single = (*OFFICIAL, "backbone", *(["student"] if suffix == ".safetensors" else []))
    expected = "damaged, or not a file of tensors" if kind in single else "a file; name a hub id"
    assert expected in line_of(kind, path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("download", ["0", "1"])
def test_hub_id_offline(kind: str, download: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is obeyed whatever else is set: id, cache and command, no look-up."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv(loading.DOWNLOAD_VARIABLE, download)
    line = line_of(kind, "somebody/imaginary-model@main")
    assert str(huggingface_hub.constants.HF_HUB_CACHE) in line
    assert "hf download somebody/imaginary-model" in line
    assert ("HF_HUB_OFFLINE" in line) == (download == "1")


def swin_detector(folder: Path, width: int) -> Path:
    folder.mkdir()
    backbone = f'{{"model_type": "swin", "embed_dim": {width}}}'
    config = f'{{"model_type": "grounding-dino", "backbone_config": {backbone}}}'
    (folder / "config.json").write_text(config)
    return folder


def test_a_copy_that_saw_coco_is_known_by_its_backbone(tmp_path: Path) -> None:
    """Renamed, the authors' Swin-B is still the one that learnt from COCO, folder or file."""
    assert trained_on_coco(str(swin_detector(tmp_path / "mine", 128)))
    assert not trained_on_coco(str(swin_detector(tmp_path / "other", 96)))
    for width in (96, 128):
        state = {"module.backbone.0.patch_embed.proj.weight": torch.zeros(width, 3, 4, 4)}
        torch.save({"model": state}, tmp_path / f"{width}.pth")
        assert trained_on_coco(str(tmp_path / f"{width}.pth")) == (width == 128)
    assert not trained_on_coco(str(weights_path("detector")))
    assert not trained_on_coco(str(tmp_path / "nowhere"))
