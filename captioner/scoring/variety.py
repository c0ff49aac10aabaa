"""How varied captions are, and whether they are more than learned by heart."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence


def vocabulary_used(captions: Iterable[Sequence[Hashable]]) -> int:
    """How many different words the captions are made of."""
    return len(set(itertools.chain.from_iterable(captions)))


def mean_length(captions: Sequence[Sequence[Hashable]]) -> float:
    """Words in a caption on average; 0 if there are none."""
    return sum(map(len, captions)) / len(captions) if captions else 0.0


def distinct(captions: Sequence[Sequence[Hashable]]) -> float:
    """How many different captions there are, as a share of all; 0 if there are none."""
    return len(set(map(tuple, captions))) / len(captions) if captions else 0.0


def copied(captions: Sequence[Sequence[Hashable]], training: Iterable[Sequence[Hashable]]) -> float:
    """The share of captions that are word for word one of the training captions; 0 of none."""
    known = set(map(tuple, training))
    return sum(tuple(words) in known for words in captions) / len(captions) if captions else 0.0
