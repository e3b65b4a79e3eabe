"""An export and its photos to a set with given labels: `instances.json` and `images/`."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.coco import read_coco
from omnicost.coco.sections import MOST_PIXELS
from omnicost.data.imports.export import DrawnLabel, Export, Labelled, Skipped
from omnicost.data.imports.photos import Photos
from omnicost.data.rle import to_rle
from omnicost.errors import InputError
from omnicost.files import write_folder
from omnicost.labelling.images import picture_size
from omnicost.plain_text import is_plain
from omnicost.progress import Progress, silent

Record = dict[str, Any]


class Imported(NamedTuple):
    """What came of an export."""

    form: str
    images: int
    types: dict[str, int]  # images of each annotation type
    instances: dict[str, int]  # of each type, and tags
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]


class Like(NamedTuple):
    """Ids to keep to: those of a COCO file that the labels belong to."""

    categories: Mapping[str, int] = {}
    image_ids: Mapping[str, int] = {}


def like_file(path: Path | None) -> Like:
    """The ids of a COCO-format file; none without a path.

    Raises:
        InputError: on any fault of the file.
    """
    if path is None:
        return Like()
    file = read_coco(path, segmentations=False)
    categories = zip(file.category_names, file.category_ids.tolist(), strict=True)
    images = zip(file.file_names, file.image_ids.tolist(), strict=True)
    return Like(dict(categories), dict(images))


def write_set(
    export: Export,
    photos: Photos,
    out: Path,
    like: Like = Like(),  # noqa: B008 - immutable
    only_labelled: bool = False,
    progress: Progress = silent,
    asked: Mapping[str, AnnotationType] = {},
) -> Imported:
    """Write the set into a new folder; photos are linked, or copied where links cannot be.

    Photos without a label are images of type `none` unless `only_labelled`. An image that was
    looked at and in which nothing was drawn has the type of the others, if they have one type.

    Args:
        asked: the type that each photo was to be labelled with, by file name; it stands for the
            photos in the export whose type the tool does not say.

    Raises:
        InputError: if the folder exists or cannot be written, or no photo has a label.
    """
    if out.exists():
        raise InputError(out, "exists", "name a new folder")
    chosen = _matched(export, photos, asked)
    if not chosen:
        raise InputError(photos.folder, "no photo has a label of the export", "check both names")
    names = photos.names if not only_labelled else sorted(chosen)
    builder = _Builder(export, photos, like, chosen)
    content = builder.content(names, progress)

    def write(scratch: Path) -> None:
        (scratch / "instances.json").write_text(json.dumps(content, separators=(",", ":")))
        for image in content["images"]:
            _place(photos.folder / image["file_name"], scratch / "images" / image["file_name"])

    write_folder(out, write)
    types = Counter(image["omnicost_type"] for image in content["images"])
    return Imported(
        form=export.form,
        images=len(content["images"]),
        types={str(each): types[each] for each in AnnotationType if types[each]},
        instances=dict(builder.instances),
        classes=tuple(each["name"] for each in content["categories"]),
        skipped=tuple(export.skipped),
    )


def _place(photo: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(photo.resolve(), target)
    except OSError:
        shutil.copyfile(photo, target)


def _matched(
    export: Export, photos: Photos, asked: Mapping[str, AnnotationType]
) -> dict[str, Labelled]:
    """Photo to its labels: of images that one photo, and no other image, goes by."""
    chosen: dict[str, Labelled] = {}
    for image in export.images:
        found = photos.named(image.name)
        if not found:
            export.skip("no photo of that name", image.name)
        elif len(found) > 1:
            export.skip("several photos of that name", f"{image.name}: {', '.join(found[:5])}")
        elif found[0] in chosen:
            export.skip("photo labelled before in the export", image.name)
        else:
            chosen[found[0]] = replace(image, declared=_declared(image, asked.get(found[0])))
    if asked and not asked.keys() & chosen.keys():
        problem = "names none of the photos that the export has"
        remedy = "give that of the plan they were given out by"
        raise InputError("the plan's manifest", problem, remedy)
    return chosen


def _declared(image: Labelled, asked: AnnotationType | None) -> AnnotationType | None:
    """What the tool says, else what was asked for; what was drawn where nothing was, counts."""
    if image.declared is not None:
        return image.declared
    return None if asked is AnnotationType.NONE and image.drawn else asked


class _Builder:
    """COCO json data from labels, image by image."""

    def __init__(
        self, export: Export, photos: Photos, like: Like, chosen: Mapping[str, Labelled]
    ) -> None:
        self.export, self.photos, self.like, self.chosen = export, photos, like, chosen
        self.instances: Counter[str] = Counter()
        self.categories = self._categories()
        self.annotations: list[Record] = []
        drawn = {each.annotation for image in chosen.values() for each in image.drawn}
        self.only_type = drawn.pop() if len(drawn) == 1 else AnnotationType.NONE
        numbers = [each.number for image in chosen.values() for each in image.drawn]
        self.keeps_numbers = None not in numbers and len(set(numbers)) == len(numbers)

    def content(self, names: list[str], progress: Progress) -> Record:
        images = []
        numbers = self._image_ids(names)
        for done, (number, name) in enumerate(sorted(zip(numbers, names, strict=True)), start=1):
            image = self._image(number, name)
            if image is not None:
                images.append(image)
            progress(done, len(names), {})
        return {
            "info": {"description": "imported by omnicost"},  # not `MARK`: labels of people
            "images": images,
            "annotations": self.annotations,
            "categories": [{"id": n, "name": name} for name, n in self.categories.items()],
        }

    def _categories(self) -> dict[str, int]:
        if self.like.categories:
            return dict(self.like.categories)
        met = [each.class_name for image in self.chosen.values() for each in image.drawn]
        names = dict.fromkeys([*self.export.class_names, *sorted(set(met))])
        plain = [name for name in names if is_plain(name) and name.strip()]
        return {name: number for number, name in enumerate(plain, start=1)}

    def _image_ids(self, names: list[str]) -> list[int]:
        known = self.like.image_ids
        if all(name in known for name in names):
            return [known[name] for name in names]
        return list(range(1, len(names) + 1))

    def _image(self, number: int, name: str) -> Record | None:
        labelled = self.chosen.get(name, Labelled(name, seen=False))
        size = self._usable_size(name, labelled.size)
        if size is None:
            return None
        height, width = size
        drawn: Sequence[DrawnLabel] = labelled.drawn
        if labelled.relative:
            drawn = [each.scaled(width, height) for each in drawn]
        kept = [each for each in drawn if self._add(each, number, name, size)]
        image = {"id": number, "file_name": name, "height": height, "width": width}
        return image | {"omnicost_type": str(self._type(labelled, kept))}

    def _usable_size(self, name: str, said: tuple[int, int] | None) -> tuple[int, int] | None:
        """The photo's size, or as it is stored where that is what was labelled."""
        size = picture_size(self.photos.folder / name)
        if not is_plain(name):
            self.export.skip("photo of an unprintable name", repr(name))
        elif size is None:
            self.export.skip("photo that cannot be read", name)
        elif size[0] * size[1] > MOST_PIXELS:
            self.export.skip("photo of too many pixels", name)
        elif said is None or said in (size, size[::-1]):
            return said or size
        else:
            sizes = f"{size[1]} x {size[0]}, labelled {said[1]} x {said[0]}"
            self.export.skip("photo of another size than was labelled", f"{name}: {sizes}")
        return None

    def _type(self, labelled: Labelled, kept: list[DrawnLabel]) -> AnnotationType:
        """What was asked for; else the weakest of what is drawn; else tags, the only type, none."""
        if not labelled.seen:
            return AnnotationType.NONE
        if labelled.declared is not None:
            return labelled.declared
        types = {each.annotation for each in kept}
        shapes = [each for each in AnnotationType if each in types - {AnnotationType.CLASS}]
        if shapes:
            return shapes[0]
        return AnnotationType.CLASS if types else self.only_type

    def _add(self, drawn: DrawnLabel, image_id: int, name: str, size: tuple[int, int]) -> bool:
        item = f"{name}: {drawn.class_name}"
        if drawn.class_name not in self.categories:
            self.export.skip("class that is not in the list", item)
            return False
        try:
            shape = _shape(drawn, size)
        except ValueError as fault:
            self.export.skip("mask that cannot be read", f"{item}: {fault}")
            return False
        if isinstance(shape, str):
            self.export.skip(shape, item)
            return False
        number = drawn.number if self.keeps_numbers else len(self.annotations) + 1
        category = self.categories[drawn.class_name]
        head = {"id": number, "image_id": image_id, "category_id": category}
        self.annotations.append(head | shape)
        self.instances[str(drawn.annotation)] += 1
        return True


def _shape(drawn: DrawnLabel, size: tuple[int, int]) -> Record | str:
    """The fields that a shape gives an annotation, or why it is left out."""
    if not drawn.is_finite():
        return "coordinate that is not a finite number"
    height, width = size
    if drawn.mask is not None or drawn.polygons is not None:
        return _mask_fields(drawn, height, width)
    if drawn.box is not None:
        x0, x1 = (min(max(side, 0.0), width) for side in sorted(drawn.box[0::2]))
        y0, y1 = (min(max(side, 0.0), height) for side in sorted(drawn.box[1::2]))
        if x0 == x1 or y0 == y1:
            return "box without an area in its picture"
        return {"bbox": [x0, y0, x1 - x0, y1 - y0]}
    if drawn.point is not None:
        x, y = drawn.point
        inside = 0 <= x <= width and 0 <= y <= height
        return {"point": [x, y]} if inside else "point outside its picture"
    return {}


def _mask_fields(drawn: DrawnLabel, height: int, width: int) -> Record | str:
    if drawn.mask is not None:
        rle = drawn.mask(height, width)
        text = {"size": [height, width], "counts": rle["counts"].decode("ascii")}
    else:
        outlines = [list(each) for each in drawn.polygons or ()]
        rle = {"size": [height, width], "counts": to_rle(outlines, height, width)}
        text = outlines  # type: ignore[assignment]
    area = float(mask_api.area(rle))
    if not area:
        return "mask without a pixel in its picture"
    return {"segmentation": text, "bbox": mask_api.toBbox(rle).tolist(), "area": area}
