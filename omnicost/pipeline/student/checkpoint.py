"""A student's training put down and taken up again, bit for bit, without pickle."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

_FOLDER = "student-checkpoint"


def save(
    work: Path,
    step: int,
    identity: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Replace the checkpoint by one after `step` steps; a half-written one is never seen."""
    scratch, folder, old = (work / f"{_FOLDER}{end}" for end in (".new", "", ".old"))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, scratch / "model.safetensors")
    save_file(_moments(optimizer), scratch / "optimizer.safetensors")
    state = {"step": step, "identity": identity, "scaler": scaler.state_dict()}
    (scratch / "state.json").write_text(json.dumps(state))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(scratch, folder)
    shutil.rmtree(old, ignore_errors=True)


def restore(
    work: Path,
    identity: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> int:
    """Take up the checkpoint of the same training, if there is one; the steps already done."""
    # Between its two renames, `save` may have left only the older one.
    for folder in (work / _FOLDER, work / f"{_FOLDER}.old"):
        if not (folder / "state.json").exists():
            continue
        state = json.loads((folder / "state.json").read_text())
        if state["identity"] != identity:
            continue
        model.load_state_dict(load_file(folder / "model.safetensors"))
        _restore_moments(optimizer, load_file(folder / "optimizer.safetensors"))
        scaler.load_state_dict(state["scaler"])
        return int(state["step"])
    return 0


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{place}.{name}": value.contiguous()
        for place, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, moments: dict[str, torch.Tensor]) -> None:
    parameters = _parameters(optimizer)
    for key, value in moments.items():
        place, name = key.split(".")
        parameter = parameters[int(place)]
        # AdamW keeps its count of steps on the CPU.
        device = value.device if name == "step" else parameter.device
        optimizer.state[parameter][name] = value.to(device)
