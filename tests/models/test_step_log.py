"""The log of a training that is killed and taken up."""

import json
from pathlib import Path

from omnicost.models.step_log import StepLog


def test_rewinding_leaves_what_was_logged_up_to_the_checkpoint(tmp_path: Path) -> None:
    """Lines after the checkpoint and one that a kill tore are dropped; the rest stays as it was."""
    log = StepLog(tmp_path / "log.jsonl")
    for step in (10, 20, 30):
        log.write(step, {"loss": step / 10})
    with log.path.open("a") as file:
        file.write('{"step": 40, "lo')
    log.rewind(20)
    log.write(30, {"loss": 9.0})
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert rows == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": 9.0}]


def test_a_new_training_begins_with_an_empty_log(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "log.jsonl")
    log.rewind(0)
    assert log.path.read_text() == ""
