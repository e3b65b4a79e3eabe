"""What goes wrong, as one line that names the place, the fault and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


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

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Pickled for another process by its three parts: by its text alone it cannot be made."""
        return type(self), (self.where, self.problem, self.remedy)


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


def faults_of(error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """One phrase a fault of a pydantic validation: field, value and what is asked for.

    Args:
        model: what was validated, so that an unknown field is answered with the nearest ones.
    """
    phrases = []
    for fault in error.errors(include_url=False, include_context=False):
        field = ".".join(on_one_line(str(part)) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _fields_at(model, fault["loc"][:-1])
            phrases.append(f"{field}: unknown field; {_correction(str(fault['loc'][-1]), known)}")
        elif fault["type"] == "missing":
            phrases.append(f"{field}: missing; add it")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            phrases.append(f"{field} is {short(fault['input'])}: {message}" if field else message)
    return phrases


def on_one_line(name: str) -> str:
    """Somebody's name as errors show it: its `repr` where it would break the line."""
    return name if name and name.isprintable() else short(name)


def _correction(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else "remove it or correct its spelling"


def _fields_at(model: Any, path: Sequence[int | str]) -> Sequence[str]:
    """Names of the fields that what lies at the end of a path has; none where it is no model."""
    fields = getattr(model, "model_fields", None)
    if fields is None:  # many of a model, or a choice with it
        path = path[1:] if get_origin(model) in (tuple, list, dict) else path
        return next(filter(None, (_fields_at(each, path) for each in get_args(model))), ())
    if not path:
        return tuple(fields)
    return _fields_at(fields[path[0]].annotation, path[1:]) if path[0] in fields else ()


def short(value: object, longest: int = 40) -> str:
    """A value as shown in an error: its `repr`, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
