"""What a stage is given to run with, and how trials are stopped early."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Base of every part of a card: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(Strict):
    """What one stage is given.

    `threads` is fixed so that results do not depend on the machine's core count; `workers` above 1
    trains on that many processes through Ray Train, each with `cpus` and `gpus`. With `halve_batch`
    a stage whose process was lost, or that ran out of memory, is tried again with half its batch:
    the result is the same but for its last bits, and its manifest says so.
    """

    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    threads: Annotated[int, Field(ge=1)] = 1
    workers: Annotated[int, Field(ge=1)] = 1
    retries: Annotated[int, Field(ge=0)] = 2
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    halve_batch: bool = False


class SchedulerSpec(Strict):
    """Early stopping among the variants of one cell; never across policies or data sets.

    `options` go to Ray Tune's scheduler as they are, such as `grace_period` or `max_t`.
    """

    name: Literal["asha", "median"]
    metric: str = "loss"  # what students report as they train
    mode: Literal["min", "max"] = "min"
    options: dict[str, int | float | str] = {}
