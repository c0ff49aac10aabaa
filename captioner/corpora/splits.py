"""Which images are for training, for choosing the best model, and for the final scores."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from captioner import storage
from captioner.corpora import tables
from captioner.corpora.rows import files_named, image_id, parse_json, read_text
from captioner.errors import UserError

SPLITS = ("train", "dev", "test")

_OTHER_NAMES = {
    "training": "train",
    "restval": "train",  # Karpathy's: of COCO's validation images, those left for training
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "testing": "test",
}
_LIST = re.compile(r"(?:.*[._])?(train|dev|val|test)(?:_?images)?\.txt", re.IGNORECASE)


def split_of(id: str) -> str:
    """The split of an image whose collection has none: by its id alone, on any machine.

    SHA-256 of the id puts about 90 % of all images into train, 5 % into dev and 5 % into test.
    An image keeps its split as the collection grows.
    """
    percent = int.from_bytes(hashlib.sha256(image_id(id).encode()).digest()[:8]) % 100
    return "train" if percent < 90 else "dev" if percent < 95 else "test"


def split_name(name: str, uri: str) -> str:
    """Our name for a split, as a file may have another for it; "" stays as it is.

    Raises:
        UserError: no split is called that.
    """
    known = _OTHER_NAMES.get(name.strip().lower(), name.strip().lower())
    if known and known not in SPLITS:
        raise UserError(f"{uri}: {name!r} is no split: use train, dev (or val) or test")
    return known


def read_splits(uri: str) -> dict[str, set[str]]:
    """The splits of each image by its id, more than one where the lists overlap.

    Args:
        uri: a directory with lists of images, ``Flickr_8k.trainImages.txt`` or ``train.txt`` and
            the like; or a JSON file, ``{"train": [images], ...}``, ``{image: split, ...}`` or
            Karpathy's; or a CSV file with columns ``image`` and ``split``.

    Raises:
        UserError: there is no such list, or it isn't of these shapes.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for image, split in _listed(uri):
        if name := split_name(split, uri):
            found[image_id(image)].add(name)
    return found


def _listed(uri: str) -> Iterable[tuple[str, str]]:
    if storage.is_directory(uri):
        return _from_directory(uri)
    text = read_text(uri)
    if text.lstrip().startswith("{"):
        return _from_json(text, uri)
    records = tables.table(text, uri, ("split",))
    return ((tables.image_of(record), record["split"]) for _, record in records)


def _from_directory(directory: str) -> Iterator[tuple[str, str]]:
    lists = files_named(directory, _LIST)
    if not lists:
        raise UserError(
            f"{directory}: no list of images in it: expected Flickr_8k.trainImages.txt and "
            "Flickr_8k.devImages.txt, or train.txt, dev.txt and test.txt"
        )
    for uri, split in lists:
        for line in read_text(uri).split("\n"):
            if line.strip():
                yield line, split


def _from_json(text: str, uri: str) -> list[tuple[str, str]]:
    content = parse_json(text, uri)
    try:
        if "images" in content:  # Karpathy's
            pairs = [(image["filename"], image["split"]) for image in content["images"]]
        else:
            pairs = [pair for name, value in content.items() for pair in _pairs(name, value)]
        if not all(isinstance(text, str) for pair in pairs for text in pair):
            raise TypeError("images and splits must be texts")
    except (KeyError, TypeError) as error:
        raise UserError(
            f'{uri}: expected {{"train": [images], ...}} or {{image: split, ...}}, or '
            f"Karpathy's JSON ({type(error).__name__}: {error})"
        ) from error
    return pairs


def _pairs(name: str, value: Any) -> list[tuple[Any, str]]:
    return [(name, value)] if isinstance(value, str) else [(image, name) for image in value]
