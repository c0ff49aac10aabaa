"""CIDEr-D: how much of what people agree on in an image a caption says.

Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation", in the variant -D of
its section on gaming, as the COCO evaluation code computes it, whose figures these are: n-grams of
one to four words, weighted by how rare they are in the references of all images; counts clipped by
the reference's; a Gaussian penalty (sigma 6) on the difference in length; times 10.

Words may be any hashable, such as token ids. Plain `int` and `str` are by far the fastest; NumPy's
scalars are slow to hash.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

from captioner.scoring.ngrams import ORDERS, Ngram, all_ngrams

_SIGMA = 6.0
_SCALE = 10.0

Words = Sequence[Hashable]


@dataclasses.dataclass(frozen=True)
class DocumentFrequencies:
    """In how many documents each n-gram is; a document is all references of one image.

    Those of parts of a collection add up with `+` to those of the whole.

    Args:
        documents: how many there are.
        counts: for each n-gram the documents that have it.
    """

    documents: int = 0
    counts: Mapping[Ngram, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, references: Iterable[Sequence[Words]]) -> DocumentFrequencies:
        """Count them, given for each image the words of its references."""
        documents, counts = 0, Counter[Ngram]()
        for group in references:
            documents += 1
            counts.update(ngrams_of(group))
        return cls(documents, counts)

    def __add__(self, other: DocumentFrequencies) -> DocumentFrequencies:
        counts = Counter(self.counts)
        counts.update(other.counts)
        return DocumentFrequencies(self.documents + other.documents, counts)

    def weight(self, ngram: Ngram) -> float:
        """The inverse document frequency, log(documents / those that have it); one, if none has.

        With a single document all weights are 0, and so are all scores.
        """
        return math.log(max(self.documents, 1)) - math.log(max(self.counts.get(ngram, 0), 1))


@dataclasses.dataclass(frozen=True)
class PreparedReferences:
    """One image's references, made ready by `CiderD.references`.

    Args:
        lengths: of each reference, in n-grams of two words, as the COCO evaluation has it.
        postings: for each n-gram the references that have it, as (which, weight, weight / norm of
            the reference's weights for n-grams of that order).
    """

    lengths: tuple[int, ...]
    postings: Mapping[Ngram, list[tuple[int, float, float]]]


class CiderD:
    """Scores captions one at a time, against references prepared once.

    Args:
        frequencies: of the references of all images, or of those that stand for them.
    """

    def __init__(self, frequencies: DocumentFrequencies) -> None:
        self._frequencies = frequencies

    def references(self, group: Sequence[Words]) -> PreparedReferences:
        """Make one image's references ready to score any number of captions against.

        Raises:
            ValueError: there are none.
        """
        if not group:
            raise ValueError("a caption has no reference to hold it against")
        postings: dict[Ngram, list[tuple[int, float, float]]] = {}
        for which, words in enumerate(group):
            weights = self._weights(words)
            norms = _norms(weights)
            for ngram, weight in weights.items():
                if weight:
                    posting = (which, weight, weight / norms[len(ngram) - 1])
                    postings.setdefault(ngram, []).append(posting)
        return PreparedReferences(tuple(map(_length, group)), postings)

    def score(self, words: Words, prepared: PreparedReferences) -> float:
        """CIDEr-D of one caption, from 0 to 10."""
        length = _length(words)
        penalties = [
            math.exp(-((length - wanted) ** 2) / (2 * _SIGMA**2)) for wanted in prepared.lengths
        ]
        weights = self._weights(words)
        products = [0.0 for _ in ORDERS]
        for ngram, weight in weights.items():
            for which, wanted, share in prepared.postings.get(ngram, ()):
                products[len(ngram) - 1] += penalties[which] * min(weight, wanted) * share
        norms = _norms(weights)
        cosines = sum(product / norm for product, norm in zip(products, norms, strict=True) if norm)
        return _SCALE * cosines / (len(ORDERS) * len(penalties))

    def _weights(self, words: Words) -> dict[Ngram, float]:
        weight = self._frequencies.weight
        return {ngram: count * weight(ngram) for ngram, count in all_ngrams(words).items()}


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D of a whole corpus, from 0 to 10: the images' mean; 0 if there are none.

    For arguments and errors see `cider_d_of_each`.
    """
    scores = cider_d_of_each(candidates, references)
    return math.fsum(scores) / len(scores) if scores else 0.0


def cider_d_of_each(
    candidates: Sequence[Words], references: Sequence[Sequence[Words]]
) -> list[float]:
    """CIDEr-D of each image of a corpus, from 0 to 10.

    Args:
        candidates: the words of each image's caption.
        references: for each image the words of at least one reference. The document frequencies
            are theirs.

    Raises:
        ValueError: there isn't a candidate for each group of references, or a group is empty.
    """
    scorer = CiderD(DocumentFrequencies.of(references))
    return [
        scorer.score(candidate, scorer.references(group))
        for candidate, group in zip(candidates, references, strict=True)
    ]


def ngrams_of(group: Sequence[Words]) -> set[Ngram]:
    """The different n-grams of one document: of all references of an image."""
    return {ngram for words in group for ngram in all_ngrams(words)}


def _length(words: Words) -> int:
    return max(len(words) - 1, 0)


def _norms(weights: Mapping[Ngram, float]) -> list[float]:
    """The Euclidean norm of the weights of each order."""
    squares = [0.0 for _ in ORDERS]
    for ngram, weight in weights.items():
        squares[len(ngram) - 1] += weight * weight
    return [math.sqrt(square) for square in squares]
