"""A training put down and taken up again: one safetensors file, replaced as a whole, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from omnicost.errors import InputError, StageError
from omnicost.files import whole_file

FILE: Final = "checkpoint.safetensors"
_MOMENT: Final = "optimiser"  # a name in files


class Checkpoint(NamedTuple):
    """What `save` wrote, on the CPU."""

    state: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    def below(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors of a group that was saved under ``prefix/``."""
        start = f"{prefix}/"
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}

    def restore(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Put back the optimizer's moments and the loss scale.

        torch's own `load_state_dict` knows which device each one belongs on: the count of steps of
        a fused AdamW beside its parameter, of others on the CPU.
        """
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in self.below(_MOMENT).items():
            place, moment = name.split("/")
            moments.setdefault(int(place), {})[moment] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        _lay_out(optimizer)
        if scaler is not None:
            scaler.load_state_dict(self.state["scaler"])


def save(
    work: Path,
    state: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Replace the checkpoint in a folder; a half-written one is never seen.

    Args:
        work: the folder.
        state: plain data: how far the training is, and of what.
        groups: tensors by group and name, such as ``{"model": model.state_dict()}``.
        optimizer: its moments are kept too.
        scaler: and its scale.

    Raises:
        StageError: as `require_numbers`; the last checkpoint that was good stays.
    """
    require_numbers(optimizer)
    moments = {
        f"{place}/{name}": value
        for place, each in optimizer.state_dict()["state"].items()
        for name, value in each.items()
    }
    tensors = {
        f"{group}/{name}": value.detach().to("cpu", copy=True).contiguous()  # ties are cut
        for group, values in {**groups, _MOMENT: moments}.items()
        for name, value in values.items()
    }
    state = dict(state) if scaler is None else {**state, "scaler": scaler.state_dict()}
    with whole_file(work / FILE) as part:
        save_file(tensors, part, {"state": json.dumps(state)})


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Moments in memory as their parameters are: fused kernels walk both as flat memory."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                moments[name] = torch.empty_like(parameter).copy_(value)


def require_numbers(optimizer: torch.optim.Optimizer) -> None:
    """See that no gradient was a NaN or infinite: moments keep what one step brought for good.

    The loss says so a step later, or never after the last one.

    Raises:
        StageError: if one was.
    """
    moments = [value for each in optimizer.state.values() for value in each.values()]
    if moments and not torch.stack([value.isfinite().all().cpu() for value in moments]).all():
        raise StageError(
            "a gradient was no number though its loss was one: lower the learning rate, or train "
            "with precision fp32"
        )


def load(work: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None if there is none.

    Raises:
        InputError: it is damaged or of another make; hours of training are not thrown away unasked.
    """
    path = work / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(json.loads(file.metadata()["state"]), tensors)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            path, "is damaged or no checkpoint of ours", "delete it to start the training afresh"
        ) from error
