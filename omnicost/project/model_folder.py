"""A trained model as a folder: the student's weights, and what its class indices mean."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from omnicost.errors import InputError, MissingError
from omnicost.files import read_bytes, refuse_to_replace
from omnicost.models.students.student import classes_in
from omnicost.plain_text import is_plain

DESCRIPTION: Final = "model.json"
STUDENT: Final = "student.safetensors"
_HEAD: Final = '{\n "version": 1,\n "class_names"'  # how a description of ours begins


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
        if len(set(self.category_ids)) < len(self.category_ids):
            raise ValueError("category_ids repeat")
        if not all(map(is_plain, self.class_names)):
            raise ValueError("class_names hold control characters")
        return self


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write `model.json` into the folder of a model that is being made."""
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n")


def read_description(folder: Path) -> ModelDescription:
    """What a model folder says of itself.

    Raises:
        InputError: if it is not a model's folder, a part of it is missing, or they do not fit.
    """
    path, remedy = folder / DESCRIPTION, "name a folder that omnicost train wrote"
    try:
        description = ModelDescription.model_validate_json(read_bytes(path))
    except InputError as error:
        raise MissingError(path, error.problem, remedy) from None
    except ValidationError as error:
        problem = f"is no model's description ({error.errors()[0]['msg']})"
        raise MissingError(path, problem, remedy) from None
    if not (folder / STUDENT).is_file():
        raise MissingError(folder / STUDENT, "is not there", remedy)
    named, known = len(description.class_names), classes_in(folder / STUDENT)
    if named != known:
        raise MissingError(path, f"names {named} classes, its student has {known}", remedy)
    return description


def refuse_to_replace_model(folder: Path, force: bool) -> None:
    """Refuse a folder where a description or a student is somebody else's.

    Raises:
        InputError: naming the file, unless `force`.
    """
    refuse_to_replace(folder / DESCRIPTION, force=force, head=_HEAD)
    try:
        classes_in(folder / STUDENT)
    except MissingError:
        refuse_to_replace(folder / STUDENT, force=force)
