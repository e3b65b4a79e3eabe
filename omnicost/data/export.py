"""Data sets leave as COCO json and as Label Studio pre-annotations."""

from __future__ import annotations

from typing import Any

from omnicost.data.dataset import Dataset


def ground_truth(dataset: Dataset) -> dict[str, Any]:
    """A data set as COCO json data: the file's ids, compressed RLE masks, crowds included."""
    columns = dataset.columns
    images = zip(
        columns.image_ids.tolist(), columns.file_names.tolist(), columns.sizes.tolist(), strict=True
    )
    annotations: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        annotations.extend(_annotations(dataset, index))
    return {
        "info": {"description": dataset.name, "size_bounds": list(dataset.size_bounds)},
        "images": [
            {"id": each, "file_name": name, "height": height, "width": width}
            for each, name, (height, width) in images
        ],
        "annotations": annotations,
        "categories": [
            {"id": each, "name": name}
            for each, name in zip(dataset.header.category_ids, dataset.class_names, strict=True)
        ],
    }


def _annotations(dataset: Dataset, index: int) -> list[dict[str, Any]]:
    found = dataset.instances(index, crowds=True)
    widths_heights = found.boxes[:, 2:] - found.boxes[:, :2]
    return [
        {
            "id": int(found.annotation_ids[n]),
            "image_id": int(dataset.image_ids[index]),
            "category_id": int(dataset.category_ids[found.class_indices[n]]),
            "bbox": [*found.boxes[n, :2].tolist(), *widths_heights[n].tolist()],
            "area": float(found.areas[n]),
            "iscrowd": int(found.is_crowd[n]),
            "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
        }
        for n, rle in enumerate(found.rles)
    ]
