"""Parameters of stages: frozen models whose identity is what a key covers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def runtime_field(default: Any, **constraints: Any) -> Any:
    """A field that cannot change a stage's output: where things lie, how fast, how often it tells.

    It needs a default, so that parameters can be read back from their identity.
    """
    return Field(default=default, json_schema_extra={"runtime": True}, **constraints)


def added_field(default: Any = None, **constraints: Any) -> Any:
    """A field that came later: while it has its default it is in no key, so that keys stay."""
    return Field(default=default, json_schema_extra={"added": True}, **constraints)


class Params(BaseModel):
    """Base of what a stage is told: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> dict[str, Any]:
        """All but the runtime fields, and added ones at their default, as plain JSON data."""
        plain = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            told = field.json_schema_extra
            marks = told if isinstance(told, dict) else {}
            if "runtime" in marks or ("added" in marks and value == field.default):
                del plain[name]
            elif isinstance(value, Params):
                plain[name] = value.identity()
        return plain


class StoppedParams(Params):
    """Of a stage that scores what a stopped trial left in its scratch.

    Args:
        step: the last that the trial reported; the engine fills it in.
    """

    step: int = 0
