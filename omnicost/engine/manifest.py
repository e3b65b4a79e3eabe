"""What an artefact says of itself."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

MOST_WAITING: Final = 0.2  # of a stage's time, before it is told of
SHORT_SECONDS: Final = 60.0  # starting up is most of a shorter stage


class StoredFile(BaseModel):
    """One file of an artefact."""

    model_config = ConfigDict(frozen=True)
    size_bytes: int
    sha256: str


class StageManifest(BaseModel):
    """Where an artefact comes from and what it cost.

    `wall_seconds` and `cpu_seconds` are of the attempt that finished; the `earlier_` ones add up
    the attempts before it that were killed or raised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    stage: str
    version: int
    label: str
    params: dict[str, Any]  # their identity
    inputs: dict[str, str]
    scratch: dict[str, str] = {}
    salt: str = ""
    units: float | None = None  # images or training images: what the time is proportional to
    unit_size: float | None = None  # megapixels of an image
    wall_seconds: float
    cpu_seconds: float
    earlier_wall_seconds: float = 0.0
    earlier_cpu_seconds: float = 0.0
    started: str
    host: str
    device: str
    threads: int
    workers: int = 1
    half_batch: bool = False  # tried with less at once than its parameters say
    waited_seconds: float = 0.0  # for data, in the process that reports
    versions: dict[str, str]
    files: dict[str, StoredFile]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files.values())

    @property
    def images_per_second(self) -> float | None:
        """Units over the whole time, start-up and attempts that failed included; None without."""
        seconds = self.whole_seconds
        return self.units / seconds if self.units and seconds else None

    @property
    def device_seconds(self) -> float:
        """What it took of devices, attempts that failed included."""
        return self.whole_seconds * self.workers

    @property
    def whole_seconds(self) -> float:
        """Wall time of all attempts."""
        return self.wall_seconds + self.earlier_wall_seconds

    @property
    def waiting(self) -> float:
        """Share of the time that the stage waited for its data."""
        return self.waited_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def advice(self) -> str | None:
        """One line if the stage waited too long for its data, with the setting to raise."""
        if self.wall_seconds < SHORT_SECONDS or self.waiting <= MOST_WAITING:
            return None
        return (
            f"{self.label} waited for data {self.waiting:.0%} of its time: give it more threads "
            f"(resources.{self.stage}.threads and cpus); workers follow unless the card fixes them"
        )
