"""What several test files of students stand on."""

import pytest
from student_world import make_backbone, make_dataset

from omnicost.data import Dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_backbone(tmp_path_factory.mktemp("backbone"))
