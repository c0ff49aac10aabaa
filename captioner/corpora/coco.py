"""COCO's captions JSON, and Karpathy's, which adds a split to each image.

https://cocodataset.org/#format-data and https://cs.stanford.edu/people/karpathy/deepimagesent/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from captioner.corpora.rows import Row, files_named, image_id, parse_json, read_text
from captioner.errors import UserError

_FILE = re.compile(r"captions_(train|val|test)\d*\.json")


def rows(text: str, uri: str) -> Iterator[Row]:
    """One row an image that has captions, in the order of the file.

    Raises:
        UserError: it isn't JSON of either shape.
    """
    content = parse_json(text, uri)
    try:
        images = content["images"]
        yield from _coco(content, uri) if "annotations" in content else _karpathy(images)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{uri}: isn't COCO's captions JSON: expected `images` with `id` and `file_name`, and "
            f"`annotations` with `image_id` and `caption` ({type(error).__name__}: {error})"
        ) from error


def directory_rows(directory: str) -> Iterator[Row]:
    """The rows of ``captions_train2017.json`` and its like, each file one split.

    Raises:
        UserError: the directory has no such file.
    """
    captions = files_named(directory, _FILE)
    if not captions:
        raise UserError(
            f"{directory}: no file in it is named like captions_train2017.json: give the captions "
            "file itself"
        )
    for uri, split in captions:
        for row in rows(read_text(uri), uri):
            yield row._replace(split=split)


def _coco(content: dict[str, Any], uri: str) -> Iterator[Row]:
    captions: dict[object, list[str]] = {image["id"]: [] for image in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        image = annotation["image_id"]
        if image not in captions:
            raise UserError(f"{uri}: annotation {number} is of image {image}, not among `images`")
        captions[image].append(annotation["caption"].strip())
    for image in content["images"]:
        if captions[image["id"]]:
            yield Row(image_id(image["file_name"]), tuple(captions[image["id"]]))


def _karpathy(images: list[dict[str, Any]]) -> Iterator[Row]:
    for image in images:
        captions = tuple(sentence["raw"].strip() for sentence in image["sentences"])
        yield Row(image_id(image["filename"]), captions, str(image["split"]))
