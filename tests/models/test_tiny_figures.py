"""The shipped tiny models are as good as their cards say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from omnicost.data.tiny.world import SPECS
from omnicost.errors import MissingError
from omnicost.models.detectors.detector import load_detector
from omnicost.models.tiny import TINY_MODELS, weights_path
from omnicost.models.tiny.pretrain import backbone, detection_figures, student, text
from omnicost.models.tiny.pretrain.card import read_figures
from omnicost.models.tiny.pretrain.pictures import DATASETS, scenes


def test_an_unknown_tiny_model_is_named() -> None:
    """Asking for weights that do not exist lists those that do."""
    with pytest.raises(MissingError, match="sam, detector, clip, backbone, student"):
        weights_path("yolo")  # type: ignore[arg-type]


def test_shipped_weights_are_small() -> None:
    """All five models together weigh at most 12 MB."""
    files = [f for name in TINY_MODELS for f in weights_path(name).iterdir()]
    assert sum(f.stat().st_size for f in files) <= 12e6


def measure_clip(pictures: int) -> dict[str, float]:
    from transformers import AutoTokenizer, CLIPModel

    path = weights_path("clip")
    model = CLIPModel.from_pretrained(path)
    return text.figures(model, AutoTokenizer.from_pretrained(path), pictures)


def measure_backbone(pictures: int) -> dict[str, float]:
    from transformers import ResNetBackbone

    return backbone.figures(ResNetBackbone.from_pretrained(weights_path("backbone")), pictures)


def measure_detector(pictures: int) -> dict[str, float]:
    tiny = load_detector("tiny")
    return detection_figures.figures(tiny.model, tiny.tokenizer, pictures)


def measure_student(pictures: int) -> dict[str, float]:
    return student.figures(student.shipped(), pictures)


MEASURES: dict[str, Callable[[int], dict[str, float]]] = {
    "clip": measure_clip,
    "backbone": measure_backbone,
    "detector": measure_detector,
    "student": measure_student,
}
HELD_OUT = {
    "student": student.HELD_OUT,
    "clip": text.HELD_OUT,
    "backbone": backbone.PROBE_PICTURES,
    "detector": detection_figures.HELD_OUT,
}


def assert_as_on_card(name: str, pictures: int | None, tolerance: float) -> None:
    """None: as many pictures as the card's figures are of."""
    card = read_figures(weights_path(name))  # type: ignore[arg-type]
    for figure, value in MEASURES[name](pictures or HELD_OUT[name]).items():
        # False boxes are a count a picture and come in clusters; everything else is a share.
        allowed = tolerance * (4 if figure.endswith("false") else 1)
        assert value == pytest.approx(card[figure], abs=allowed), figure


@pytest.mark.parametrize("name", MEASURES)
def test_figures_are_near_those_of_the_card(name: str) -> None:
    """The shipped weights do on some of the held-out pictures what their card says of all."""
    few = {"clip": 60, "backbone": 100, "detector": 40, "student": 60}[name]
    assert_as_on_card(name, few, tolerance=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_figures_are_those_of_the_card(name: str) -> None:
    """The shipped weights do on all held-out pictures what their card says."""
    assert_as_on_card(name, None, tolerance=0.01)


def test_the_backbone_beats_its_random_self() -> None:
    """What the card says of the trained backbone is well above what it says of random weights."""
    card = read_figures(weights_path("backbone"))
    for world in DATASETS:
        assert card[f"{world}/probe"] > card[f"{world}/probe untrained"] + 0.1


def test_the_pipelines_detector_agrees_with_the_recipes() -> None:
    """The loader that released detectors go through gives the scores that the card is made of."""
    tiny = load_detector("tiny")
    pictures = scenes("tiny-coco", "val", range(2))
    names = SPECS["tiny-coco"].class_names
    caption = tiny.captions(names, range(len(names)))[0]
    answers = tiny.ask(tiny.pixels([s.image for s in pictures]), [caption] * len(pictures))
    found = detection_figures.detect_in_batches(
        tiny.model, tiny.tokenizer, pictures, "tiny-coco", "all"
    )
    for answer, detections in zip(answers, found, strict=True):
        scores = answer.scores[answer.scores >= detection_figures.LOWEST_SCORE].numpy()
        assert np.sort(scores) == pytest.approx(np.sort(detections.scores), abs=1e-5)
