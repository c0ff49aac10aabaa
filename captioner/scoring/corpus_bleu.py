"""BLEU: how many of a caption's n-grams people's captions have too."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Sequence

from captioner.scoring.ngrams import ORDERS, ngrams

Bleu = tuple[float, float, float, float]
Counts = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class BleuCounts:
    """What BLEU is made of. The counts of the parts of a corpus add up with `+`.

    Args:
        matches: n-grams of one to four words that are in the references too, clipped.
        guesses: n-grams that there are.
        length: in words.
        wanted_length: of the references closest in length, the shorter of two as close.
    """

    matches: Counts = (0, 0, 0, 0)
    guesses: Counts = (0, 0, 0, 0)
    length: int = 0
    wanted_length: int = 0

    @classmethod
    def of(cls, words: Sequence[Hashable], group: Sequence[Sequence[Hashable]]) -> BleuCounts:
        """The counts of one image's caption.

        Raises:
            ValueError: it has no reference.
        """
        if not group:
            raise ValueError("a caption has no reference to hold it against")
        lengths = map(len, group)
        return cls(
            matches=tuple(_matches(words, group, order) for order in ORDERS),
            guesses=tuple(max(len(words) - order + 1, 0) for order in ORDERS),
            length=len(words),
            wanted_length=min(lengths, key=lambda wanted: (abs(wanted - len(words)), wanted)),
        )

    def __add__(self, other: BleuCounts) -> BleuCounts:
        return BleuCounts(
            matches=tuple(map(int.__add__, self.matches, other.matches)),
            guesses=tuple(map(int.__add__, self.guesses, other.guesses)),
            length=self.length + other.length,
            wanted_length=self.wanted_length + other.wanted_length,
        )

    def scores(self) -> Bleu:
        """BLEU-1 to BLEU-4, each from 0 to 1."""
        if not self.length:
            return 0.0, 0.0, 0.0, 0.0
        brevity_penalty = math.exp(min(0.0, 1 - self.wanted_length / self.length))
        counted = zip(self.matches, self.guesses, strict=True)
        precisions = [matches / (guesses or 1) for matches, guesses in counted]
        products = itertools.accumulate(precisions, float.__mul__)
        one, two, three, four = (
            brevity_penalty * product ** (1 / order)
            for order, product in zip(ORDERS, products, strict=True)
        )
        return one, two, three, four


def bleu(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Bleu:
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
    pairs = zip(candidates, references, strict=True)
    return sum((BleuCounts.of(*pair) for pair in pairs), BleuCounts()).scores()


def _matches(words: Sequence[Hashable], group: Sequence[Sequence[Hashable]], order: int) -> int:
    """The caption's n-grams, each at most as often as in the reference that has it most."""
    counted = [ngrams(reference, order) for reference in group]
    return sum(
        min(count, max(reference[ngram] for reference in counted))
        for ngram, count in ngrams(words, order).items()
    )
