"""Trainings put down and taken up again, on the device that each tensor belongs on."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from omnicost.errors import InputError, StageError
from omnicost.models import checkpoint


def trained(fused: bool, device: str = "cpu") -> tuple[nn.Linear, torch.optim.AdamW]:
    net = nn.Linear(3, 2, device=device)
    return net, torch.optim.AdamW(net.parameters(), 0.1, fused=fused)


def step(net: nn.Linear, optimizer: torch.optim.AdamW) -> None:
    optimizer.zero_grad()
    net(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("fused", [True, False])
def test_taken_up_training_goes_on_bit_for_bit(tmp_path: Path, fused: bool) -> None:
    """Weights, moments and count of steps come back: the next step is the one not taken."""
    net, optimizer = trained(fused)
    for _ in range(3):
        step(net, optimizer)
    checkpoint.save(tmp_path, {"done": 3}, {"model": net.state_dict()}, optimizer)
    other, second = trained(fused)
    second.param_groups[0]["lr"] = 0.05
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert saved.state == {"done": 3}
    other.load_state_dict(saved.below("model"))
    saved.restore(second)
    assert second.param_groups[0]["lr"] == 0.05  # the schedule's, not the checkpoint's
    second.param_groups[0]["lr"] = 0.1
    for _ in range(2):
        step(net, optimizer)
        step(other, second)
    assert torch.equal(net.weight, other.weight)


@pytest.mark.parametrize("fused", [True, False])
def test_moments_return_to_their_parameter_s_device(tmp_path: Path, fused: bool) -> None:
    """On CUDA a fused AdamW wants its count of steps beside the parameter; any other, on the CPU.

    Fake tensors stand for a GPU: what raises in `_fused_adamw_` is a state on two devices.
    """
    net, optimizer = trained(fused)
    step(net, optimizer)
    checkpoint.save(tmp_path, {}, {"model": net.state_dict()}, optimizer)
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    with FakeTensorMode(allow_non_fake_inputs=True):
        _, second = trained(fused, "cuda")
        saved.restore(second)
        assert len(second.state) == 2
        for parameter, moments in second.state.items():
            assert parameter.device.type == "cuda"
            places = {name: value.device.type for name, value in moments.items()}
            at = "cuda" if fused else "cpu"
            assert places == {"step": at, "exp_avg": "cuda", "exp_avg_sq": "cuda"}


def test_loss_scale_comes_back(tmp_path: Path) -> None:
    """A scaler goes on from the scale it had, wherever it keeps it."""
    net, optimizer = trained(False)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    checkpoint.save(tmp_path, {"done": 1}, {"model": net.state_dict()}, optimizer, scaler)
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    fresh = torch.amp.GradScaler("cpu")
    saved.restore(optimizer, fresh)
    assert fresh.get_scale() == 512.0


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """No file means to start; one cut short or of another make is named, and left where it is."""
    assert checkpoint.load(tmp_path) is None
    net, optimizer = trained(False)
    checkpoint.save(tmp_path, {}, {"model": net.state_dict()}, optimizer)
    path = tmp_path / checkpoint.FILE
    whole = path.read_bytes()
    save_file({"model.weight": torch.zeros(2)}, path)
    for content in (whole[:50], whole[:-7], b"", path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint.safetensors.*damaged.*delete it"):
            checkpoint.load(tmp_path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_spoils_no_checkpoint(tmp_path: Path, bad: float) -> None:
    """The loss may be one all the same; the checkpoint before it stays."""
    net, optimizer = trained(fused=True)
    step(net, optimizer)
    checkpoint.save(tmp_path, {"done": 1}, {"model": net.state_dict()}, optimizer)
    net.weight.grad = torch.full_like(net.weight, bad)
    optimizer.step()
    with pytest.raises(StageError, match="a gradient was no number"):
        checkpoint.save(tmp_path, {"done": 2}, {"model": net.state_dict()}, optimizer)
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert saved.state == {"done": 1}


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    """One tensor under two names, as SAM's positional embedding is, comes back under both."""
    net, optimizer = trained(False)
    groups = {"model": {"a": net.weight, "b": net.weight}}
    checkpoint.save(tmp_path, {}, groups, optimizer)
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert torch.equal(saved.below("model")["a"], saved.below("model")["b"])
