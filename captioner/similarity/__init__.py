"""Which images of an output are alike: by what is said of them, or by how they look.

Captions are compared by their words (`words`) or by the vectors of a model of texts, features as
they are (`dense`). Either way the similarity is a cosine. The index of an output is kept in its
directory ``similar``, and what came since is added to it. Needs the extra ``[similar]``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from captioner import shards, storage
from captioner.errors import UserError
from captioner.similarity import sources
from captioner.similarity.images import Image
from captioner.similarity.index import Index
from captioner.similarity.nearest import Near
from captioner.similarity.sources import FEATURES, WORDS, Source

__all__ = ["FEATURES", "WORDS", "Image", "Neighbour", "Similar"]


class Neighbour(NamedTuple):
    """An image that is like what was asked for, and the cosine, from 0 to 1."""

    image: Image
    similarity: float


class Similar:
    """The images of an output in memory, to be asked which are alike.

    Args:
        index: of the output.
        unkept: why the index isn't kept; empty where it is.

    Attributes:
        by: what they are compared by, see `of`.
        version: the index'.
    """

    def __init__(self, index: Index, unkept: str = "") -> None:
        self.by = index.by
        self.version = index.version
        self.unkept = unkept
        self._images = index.images()
        self._vectors = index.vectors
        self._vectors.hold(self._images.items())

    @classmethod
    def of(cls, output: str, by: str = "") -> Similar:
        """The images of an output, by the index that is kept there and brought up to date.

        Args:
            output: a directory of captions or of features.
            by: `FEATURES`, `WORDS`, or a model that `embedding` knows; by default that of the first
                two which the output has.

        Raises:
            UserError: it is no output, or not as it was written, or can't be compared by this, or a
                package is missing.
        """
        source = sources.of(output, by)
        file = _file(output, source)
        index = _kept(file, source)
        if index is None or not source.continues(index) or index.vectors.is_outgrown():
            index = source.index()
        new = source.files.difference(index.files)
        if not new and index.settings == source.settings:
            return cls(index)
        source.add(index, sorted(new))
        index.hold(shards.newest(output, source.settings), source.settings)
        try:
            storage.replace(file, index.to_bytes())
        except OSError as error:
            return cls(index, str(error))
        return cls(index)

    @classmethod
    def kept(cls, output: str, by: str, version: str) -> Similar:
        """The images of an output by its index as it is.

        Args:
            output, by: as in `of`.
            version: that which the index is to have.

        Raises:
            UserError: it is another one by now.
        """
        source = sources.of(output, by)
        index = _kept(_file(output, source), source)
        if index is None or index.version != version:
            raise UserError(f"{_file(output, source)}: replaced by another run; start again")
        return cls(index)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._images)

    def image(self, id: str) -> Image | None:
        """The image of this id; None where there is none."""
        return self._images.find("id", id)

    def image_at(self, uri: str) -> Image | None:
        """The image that was read there; None where there is none."""
        return self._images.find("uri", uri)

    def like_image(self, id: str, top: int, least: float) -> list[Neighbour]:
        """The images that are most like one of them, the most alike first, without itself.

        Args:
            id: its.
            top: how many images at most.
            least: the least similarity.

        Raises:
            UserError: there is no such image.
        """
        row = self._images.row("id", id)
        if row is None:
            raise UserError(
                f"{id}: no image of this id is in the output; ids are paths below its --input"
            )
        (near,) = self._near_items(self._images.item(row), top, least)
        return _but(id, self._images_of(near, top + 1), top)

    def like(self, content: Any, top: int, least: float) -> list[Neighbour]:
        """The images that are most like a text, or like features, the most alike first.

        Args:
            content: a caption; or of features, as the encoder has them of one image.
            top, least: as in `like_image`.
        """
        (near,) = self._vectors.near(self._vectors.of([content]), top, least)
        return self._images_of(near, top)

    def each(
        self, first: int, behind: int, top: int, least: float
    ) -> Iterator[tuple[Image, list[Neighbour]]]:
        """Some of the images, each with its neighbours as `like_image` has them.

        Those with one vector are side by side, and what is near it is looked for once.

        Args:
            first, behind: the images, by their place from 0 to the length of this.
            top, least: as in `like_image`.
        """
        items = self._images.items(first, behind)
        for item, near in zip(items, self._near_items(items, top, least), strict=True):
            found = self._images_of(near, top + 1)
            for image in self._images.between(first, behind, item):
                yield image, _but(image.id, found, top)

    def _near_items(self, items: np.ndarray, top: int, least: float) -> Iterable[list[Near]]:
        return self._vectors.near(self._vectors.of_items(items), top + 1, least)

    def _images_of(self, near: list[Near], top: int) -> list[Neighbour]:
        found = (
            Neighbour(image, cosine)
            for item, cosine in near
            for image in self._images.of(item, top)
        )
        return [*itertools.islice(found, min(top, sys.maxsize))]


def _but(id: str, found: list[Neighbour], top: int) -> list[Neighbour]:
    return [one for one in found if one.image.id != id][:top]


def _file(output: str, source: Source) -> str:
    return storage.join(output, "similar", f"{source.name}.zip")


def _kept(file: str, source: Source) -> Index | None:
    """The index that a file has; None where there is none of this version, whole and readable."""
    if not storage.exists(file):
        return None
    try:
        return Index.from_bytes(storage.read_bytes(file), source.load)
    except UserError:
        raise
    except Exception:  # whatever is wrong with it, or with the right to read it: it is made anew
        return None
