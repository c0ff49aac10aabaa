"""How good captions are, held against people's; and how varied they are.

All are functions of captions as lists of words; making words of a text is the caller's part.
"""

from captioner.scoring.cider import CiderD, DocumentFrequencies, PreparedReferences, cider_d
from captioner.scoring.corpus_bleu import bleu, distinct, mean_length, vocabulary_used

__all__ = [
    "CiderD",
    "DocumentFrequencies",
    "PreparedReferences",
    "bleu",
    "cider_d",
    "distinct",
    "mean_length",
    "vocabulary_used",
]
