"""How good captions are, held against people's; and how varied they are."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

_ORDERS = (1, 2, 3, 4)


def bleu(
    candidates: Sequence[list[str]], references: Sequence[Sequence[list[str]]]
) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of a whole corpus, each from 0 to 1.

    Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation": n-gram
    counts, clipped by the references', and lengths are summed over the corpus before anything is
    divided. The length to reach is that of the reference closest in length, the shorter of two as
    close, as in the COCO evaluation code, whose figures these are.

    Args:
        candidates: the words of each image's caption.
        references: for each image the words of at least one reference caption.

    Raises:
        ValueError: there isn't a candidate for each group of references, or a group is empty.
    """
    matches, guesses = Counter[int](), Counter[int]()
    length = wanted_length = 0
    for candidate, group in zip(candidates, references, strict=True):
        length += len(candidate)
        wanted_length += _closest_length(len(candidate), group)
        for order in _ORDERS:
            matches[order] += _matches(candidate, group, order)
            guesses[order] += max(len(candidate) - order + 1, 0)
    brevity_penalty = math.exp(min(0.0, 1 - wanted_length / length)) if length else 0.0
    precisions = [matches[order] / (guesses[order] or 1) for order in _ORDERS]
    products = itertools.accumulate(precisions, float.__mul__)
    one, two, three, four = (
        brevity_penalty * product ** (1 / order)
        for order, product in zip(_ORDERS, products, strict=True)
    )
    return one, two, three, four


def vocabulary_used(captions: Iterable[list[str]]) -> int:
    """How many different words the captions are made of."""
    return len(set(itertools.chain.from_iterable(captions)))


def mean_length(captions: Sequence[list[str]]) -> float:
    """Words in a caption on average; 0 if there are none."""
    return sum(map(len, captions)) / len(captions) if captions else 0.0


def distinct(captions: Sequence[list[str]]) -> float:
    """How many different captions there are, as a share of all; 0 if there are none."""
    return len(set(map(tuple, captions))) / len(captions) if captions else 0.0


def _closest_length(length: int, group: Sequence[list[str]]) -> int:
    if not group:
        raise ValueError("a caption has no reference to hold it against")
    return min(map(len, group), key=lambda reference: (abs(reference - length), reference))


def _matches(candidate: list[str], group: Sequence[list[str]], order: int) -> int:
    """The candidate's n-grams, each at most as often as in the reference that has it most."""
    found = _ngrams(candidate, order)
    counted = [_ngrams(reference, order) for reference in group]
    return sum(
        min(count, max(reference[ngram] for reference in counted)) for ngram, count in found.items()
    )


def _ngrams(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))
