"""ROUGE-L: the longest run of words, with gaps, that a caption has in common with people's.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", as the COCO evaluation code
computes it, whose figures these are: precision and recall are each the best of any reference, and
recall counts more (beta 1.2).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

_BETA = 1.2


def rouge_l(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> float:
    """ROUGE-L of a whole corpus, from 0 to 1: the images' mean; 0 if there are none.

    Args:
        candidates: the words of each image's caption.
        references: for each image the words of at least one reference caption.

    Raises:
        ValueError: there isn't a candidate for each group of references, or a group is empty.
    """
    scores = [rouge_l_of(*pair) for pair in zip(candidates, references, strict=True)]
    return math.fsum(scores) / len(scores) if scores else 0.0


def rouge_l_of(words: Sequence[Hashable], group: Sequence[Sequence[Hashable]]) -> float:
    """ROUGE-L of one image's caption, from 0 to 1.

    Raises:
        ValueError: it has no reference.
    """
    if not group:
        raise ValueError("a caption has no reference to hold it against")
    common = [_longest_common(words, reference) for reference in group]
    if not any(common):
        return 0.0
    precision = max(common) / len(words)
    lengths = map(len, group)
    recall = max(found / length for found, length in zip(common, lengths, strict=True) if length)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_common(words: Sequence[Hashable], reference: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(reference) + 1)
    for word in words:
        above, row = row, [0]
        for place, wanted in enumerate(reference):
            row.append(above[place] + 1 if word == wanted else max(row[-1], above[place + 1]))
    return row[-1]
