"""Runs of words, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

# BLEU and CIDEr-D both look at runs of one to four words.
ORDERS = (1, 2, 3, 4)

Ngram = tuple[Hashable, ...]


def ngrams(words: Sequence[Hashable], order: int) -> Counter[Ngram]:
    """How often each run of `order` words is in a caption."""
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def all_ngrams(words: Sequence[Hashable]) -> Counter[Ngram]:
    """The same of the runs of all `ORDERS`."""
    counted = Counter[Ngram]()
    for order in ORDERS:
        counted.update(zip(*(words[start:] for start in range(order)), strict=False))
    return counted
