"""Where a teacher's training takes up: one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from omnicost.files import whole_file

FILE = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # of AdamW


class Checkpoints:
    """The last checkpoint of a training, in a scratch folder; replaced as a whole.

    Args:
        work: the folder.
    """

    def __init__(self, work: Path) -> None:
        self.path = work / FILE

    def save(
        self,
        done: int,
        unlogged: list[float],
        parameters: Mapping[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ) -> None:
        """Store everything that the next step and the next line of the log depend on."""
        tensors = {f"value/{name}": value.detach() for name, value in parameters.items()}
        for name, value in parameters.items():
            for moment, tensor in optimiser.state.get(value, {}).items():
                tensors[f"{moment}/{name}"] = tensor
        tensors = {name: value.contiguous().cpu() for name, value in tensors.items()}
        metadata = {
            "done": str(done),
            "unlogged": json.dumps(unlogged),
            "scaler": json.dumps(scaler.state_dict()),
        }
        with whole_file(self.path) as part:
            save_file(tensors, part, metadata)

    def load(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ) -> tuple[int, list[float]]:
        """Put everything back.

        Returns:
            Steps done and losses not yet logged; 0 and none when there is nothing to take up.
        """
        if not self.path.exists():
            return 0, []
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:  # cut short by a full disk: start over
            return 0, []
        for name, value in parameters.items():
            with torch.no_grad():
                value.copy_(tensors[f"value/{name}"])
            if f"exp_avg/{name}" in tensors:
                moments = {moment: tensors[f"{moment}/{name}"] for moment in _MOMENTS}
                optimiser.state[value] = {
                    moment: tensor if moment == "step" else tensor.to(value.device)
                    for moment, tensor in moments.items()
                }
        scaler.load_state_dict(json.loads(metadata["scaler"]))
        return int(metadata["done"]), json.loads(metadata["unlogged"])
