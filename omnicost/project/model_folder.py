"""A trained model as a folder: the student's weights, and what its class indices mean."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from omnicost.errors import MissingError

DESCRIPTION: Final = "model.json"
STUDENT: Final = "student.safetensors"


class ModelDescription(BaseModel):
    """What stands beside a student's weights.

    Args:
        category_ids: of the COCO file that it learnt from, by class index.
        cell: the row that it is; names data, policy and seed.
        versions: of the packages that trained it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    cell: str = ""
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_id_a_class(self) -> ModelDescription:
        if len(self.class_names) != len(self.category_ids):
            raise ValueError("class_names and category_ids differ in length")
        return self


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write `model.json` into the folder of a model that is being made."""
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n")


def read_description(folder: Path) -> ModelDescription:
    """What a model folder says of itself.

    Raises:
        MissingError: if it is not a model's folder or a part of it is missing.
    """
    path, remedy = folder / DESCRIPTION, "name a folder that omnicost train wrote"
    try:
        description = ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MissingError(path, f"cannot be read ({error.strerror})", remedy) from None
    except ValidationError as error:
        problem = f"is no model's description ({error.errors()[0]['msg']})"
        raise MissingError(path, problem, remedy) from None
    if not (folder / STUDENT).is_file():
        raise MissingError(folder / STUDENT, "is not there", remedy)
    return description
