"""Teacher: fine-tune SAM's prompt encoder, mask decoder and class branch (§3.1, §4.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from omnicost.data import Dataset
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError
from omnicost.files import whole_file
from omnicost.models.teachers.teacher import Promptable, PromptHead, load_promptable
from omnicost.models.text import load_text_encoder
from omnicost.pipeline.compute import float32_products
from omnicost.pipeline.config import DEFAULT_EMBED, DEFAULT_TEACHER, EmbedConfig, TeacherConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder, KeptEmbeddings
from omnicost.pipeline.teacher.examples import Lessons
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.quality import judge
from omnicost.pipeline.teacher.start import Verdict, best_token, instances, paced, split
from omnicost.pipeline.teacher.trainer import LOG, Trainer
from omnicost.progress import Progress, silent

START_IMAGES = 64  # that choose the token to start from
VERSION = 5  # raise when the same parameters give another output
WEIGHTS, CARD = "teacher.safetensors", "teacher.json"


def run(
    dataset: Dataset,
    sam: str,
    text: str,
    config: TeacherConfig,
    *,
    kind: TeacherKind,
    labelled: Sequence[int],
    seed: int,
    out: Path,
    work: Path,
    embeddings: Sequence[Path] = (),
    embed: EmbedConfig = DEFAULT_EMBED,
    validation: Dataset | None = None,
    device: str = "cpu",
    report: Progress = silent,
) -> None:
    """Tune a teacher of one kind and write it into ``out``.

    With nothing to learn from (no labelled instance, no steps, ``tune: false``) the artefact says
    that the released weights serve. Taken up from the last checkpoint in ``work``; on the CPU the
    result is then the same bit for bit.

    Args:
        dataset: the training split.
        sam: spec of the SAM.
        text: spec of the text encoder; read for class-aware kinds only.
        config: loss, schedule, precision.
        kind: prompts, class-aware or plain.
        labelled: indices of the images with masks.
        seed: of order, points and the projection's first weights.
        out: folder for ``teacher.safetensors`` (tuned tensors), ``teacher.json``, ``log.jsonl``.
        work: scratch kept over restarts.
        embeddings: folders of the embed step; none to encode every image each time it comes up.
        embed: how an image that is not cached is encoded.
        validation: split to report the mean IoU on; None to leave that out.
        device: a torch device.
        report: told of the steps done, with loss and mean IoU.

    Raises:
        StageError: if the loss is not finite; names step and images.
    """
    if not (config.tune and config.steps and len(labelled)):
        write_released(out, kind, config)
        return
    model = load_promptable(sam, device, embed.attention)
    encoder = ImageEncoder(model, embed, device)
    cache = Embeddings(embeddings, dataset, lambda: encoder)
    parts = split(dataset, labelled, config, seed)
    config = paced(config, instances(dataset, parts.lessons))
    lessons = Lessons(parts.lessons, cache, config, kind, model.frame, seed)
    if not lessons.images:
        write_released(out, kind, config)
        return
    released, teacher = _teachers(model, dataset, text, kind, config, seed, device)

    def found(each: Teacher, images: Sequence[int]) -> float | None:
        return judge(each, images, cache, device, seed).mean_iou()

    if kind.is_ambiguous and config.start_token == "best":
        teacher.model.lead_with(best_token(released, lessons.images[:START_IMAGES], found))
    trainer = Trainer(teacher, lessons, config, work, device)
    if validation is not None:
        trainer.validation = KeptEmbeddings((), validation, lambda: encoder)
    with float32_products(config.precision):
        trainer.train(report)
    verdict = Verdict(found(released, parts.held_out), found(teacher, parts.held_out))
    kept = teacher.model.tuned_parameters() if verdict.tuning_helps else {}
    _write(out, kind, config, kept, verdict)
    (out / LOG).write_bytes((work / LOG).read_bytes())


def _teachers(
    model: Promptable,
    dataset: Dataset,
    text: str,
    kind: TeacherKind,
    config: TeacherConfig,
    seed: int,
    device: str,
) -> tuple[Teacher, Teacher]:
    """The released weights for the kind's prompts, and the teacher before its first step."""
    plain = TeacherKind(kind.prompts, class_aware=False)
    released = Teacher(model.head().to(device), plain, False, None)
    features = None
    if kind.class_aware:
        encoder = load_text_encoder(text, device)
        features = encoder.encode(dataset.class_names, config.class_prompt)
    head = build_model(model, features, seed).to(device)
    return released, Teacher(head, kind, True, features)


def build_model(sam: Promptable, class_text: torch.Tensor | None, seed: int = 0) -> PromptHead:
    """The model of a teacher, with a class branch for that text, before its first step."""
    if class_text is None:
        return sam.head()
    return sam.head(class_text.shape[1], derive_seed("projection", seed))


def load_teacher(
    folder: Path,
    sam: Promptable,
    class_text: Callable[[str], torch.Tensor],
    device: str | torch.device = "cpu",
) -> Teacher:
    """The teacher that `run` wrote, or the released weights if it tuned nothing.

    Args:
        folder: of `run`.
        sam: the model that it was tuned from.
        class_text: from a class prompt such as ``{}`` to the ``(K, D)`` features of the class
            names; asked for class-aware teachers only.

    Raises:
        InputError: if the artefact is damaged or belongs to another SAM.
    """
    try:
        card = json.loads((folder / CARD).read_text())
        tensors = load_file(folder / WEIGHTS)
        kind = TeacherKind.parse(card["kind"])
        tuned = card["steps"] > 0
        features = class_text(card["class_prompt"]) if tuned and kind.class_aware else None
        model = build_model(sam, features)
        if tuned:
            model.load_tuned(tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            folder, f"not a teacher of this SAM ({error})", "run the teacher step again"
        ) from None
    return Teacher(model.to(device).eval(), kind, tuned, features)


def write_released(out: Path, kind: TeacherKind, config: TeacherConfig = DEFAULT_TEACHER) -> None:
    """Write a teacher that says that the released weights serve."""
    _write(out, kind, config, {}, Verdict(None, None))
    (out / LOG).touch()


def _write(
    out: Path,
    kind: TeacherKind,
    config: TeacherConfig,
    tuned: Mapping[str, torch.Tensor],
    verdict: Verdict,
) -> None:
    """Tuned tensors, or none where the released ones serve, and what is to be known of them."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in tuned.items()}
    with whole_file(out / WEIGHTS) as part:
        save_file(tensors, part)
    card = {
        "kind": str(kind),
        "steps": config.steps if tuned else 0,
        "class_prompt": config.class_prompt,
        "held_out_miou": verdict._asdict(),
    }
    (out / CARD).write_text(json.dumps(card) + "\n")
