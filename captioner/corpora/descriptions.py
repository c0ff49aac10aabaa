"""The cleaned captions as the ancestors of this project write them, ``descriptions.txt``."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable

from captioner import storage
from captioner.corpora.cleaning import clean
from captioner.corpora.reading import CaptionedImage


def write_descriptions(corpus: Iterable[CaptionedImage], uri: str) -> None:
    """Write a line a caption: the image's id without its extension, a space, the cleaned caption.

    Captions of which cleaning leaves nothing are left out.

    Raises:
        OSError: the file can't be written.
    """
    lines = [
        f"{posixpath.splitext(image.id)[0]} {cleaned}\n"
        for image in corpus
        for cleaned in itertools.starmap(clean, image.tagged())
        if cleaned
    ]
    storage.replace(uri, "".join(lines).encode())
