"""What goes wrong, as one line that names the place, the fault and the remedy."""

from __future__ import annotations

from collections.abc import Sequence


class OmnicostError(Exception):
    """Base of every error that omnicost raises on purpose; its text is one line."""


class InputError(OmnicostError):
    """Something a person gave (a file, an option, a config) cannot be used.

    Args:
        where: file, field or option at fault, such as ``times.yaml: box.seconds``.
        problem: what is wrong with it, with the offending value.
        remedy: what to do about it.
    """

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}; {remedy}")
        self.where = str(where)
        self.problem = problem
        self.remedy = remedy


class ConfigError(OmnicostError):
    """Faults of a config or card, collected and raised once."""

    def __init__(self, where: object, faults: Sequence[str]) -> None:
        super().__init__(f"{where}: " + "; ".join(faults))
        self.where = str(where)
        self.faults = tuple(faults)


class MissingError(InputError):
    """Data, weights or an optional package are not where they were looked for."""


class StageError(OmnicostError):
    """A stage of the pipeline could not finish; names the stage and its log."""
