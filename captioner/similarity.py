"""Which images are captioned alike: cosines of captions by their words.

A caption's vector has its words' TF-IDF, how often a word is in it times 1 + log((1 + n) / (1 + m))
for a word in m of n captions, over the vector's length: as of scikit-learn's `TfidfVectorizer`, and
of Salton and Buckley, "Term-weighting approaches in automatic text retrieval" (1988). Needs the
extra ``[similar]``.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from captioner import captions
from captioner.corpora import words
from captioner.errors import UserError

# Cosines are float32: one less than this below a bound is at it.
_ROUNDING = 1e-5


class Captioned(NamedTuple):
    """An image and what is said of it."""

    id: str
    uri: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """An image whose caption is like what was asked for.

    Args:
        image: which.
        similarity: the cosine, from 0 to 1.
    """

    image: Captioned
    similarity: float


class SimilarCaptions:
    """Captions in memory, to be asked which are like a text.

    A captioner says the same of many images: each text is compared once, whatever number of images
    it is said of. What is compared is only what has a word of the query's.

    Args:
        images: with their captions.

    Raises:
        UserError: scikit-learn is not installed.
    """

    def __init__(self, images: Iterable[Captioned]) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise UserError(
                "similar captions need scikit-learn: pip install 'captioner[similar]'"
            ) from error
        by_caption: dict[str, list[Captioned]] = {}
        for image in images:
            by_caption.setdefault(image.caption, []).append(image)
        self._images = [*by_caption.values()]
        # A text of no image, as no vectors can be made where no caption has a word.
        texts = itertools.chain(by_caption, ["a caption"])
        self._vectors = TfidfVectorizer(analyzer=words, dtype=np.float32)
        self._by_word = self._vectors.fit_transform(texts).T.tocsr()

    @classmethod
    def of(cls, output: str) -> SimilarCaptions:
        """The captions of an output that hold.

        Raises:
            UserError: it is no caption output, or not as it was written.
        """
        return cls(Captioned(one.id, one.uri, one.caption) for one in captions.read(output))

    def image(self, id: str) -> Captioned | None:
        """The image of this id; None where none is captioned."""
        every = itertools.chain(*self._images)
        return next((image for image in every if image.id == id), None)

    def like(
        self, text: str, top: int, min_similarity: float, but: str | None = None
    ) -> list[Neighbour]:
        """The images whose captions are most like a text, the most alike first.

        Args:
            text: any.
            top: how many images at most.
            min_similarity: the least cosine.
            but: the id of an image that isn't wanted.
        """
        near = self._near(text, top + 1, min_similarity)
        found = (neighbour for neighbour in near if neighbour.image.id != but)
        return [*itertools.islice(found, top)]

    def _near(self, text: str, top: int, min_similarity: float) -> Iterator[Neighbour]:
        cosines = self._vectors.transform([text]) @ self._by_word
        (places,) = np.nonzero(cosines.data >= min_similarity - _ROUNDING)
        found = zip(cosines.data[places], cosines.indices[places], strict=True)
        best = heapq.nsmallest(top, ((-cosine, caption) for cosine, caption in found))
        for negative, caption in best:
            # There are none of the last text.
            for image in self._images[caption : caption + 1]:
                yield from (Neighbour(one, min(-float(negative), 1.0)) for one in image)
