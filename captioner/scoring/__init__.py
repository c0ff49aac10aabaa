"""How good captions are, held against people's; and how varied they are.

All are functions of captions as lists of words; making words of a text is the caller's part.
"""

from captioner.scoring.cider import (
    CiderD,
    DocumentFrequencies,
    PreparedReferences,
    cider_d,
    cider_d_of_each,
    ngrams_of,
)
from captioner.scoring.coco_meteor import meteor
from captioner.scoring.corpus_bleu import Bleu, BleuCounts, bleu
from captioner.scoring.rouge import rouge_l, rouge_l_of
from captioner.scoring.variety import copied, distinct, mean_length, vocabulary_used

__all__ = [
    "Bleu",
    "BleuCounts",
    "CiderD",
    "DocumentFrequencies",
    "PreparedReferences",
    "bleu",
    "cider_d",
    "cider_d_of_each",
    "copied",
    "distinct",
    "mean_length",
    "meteor",
    "ngrams_of",
    "rouge_l",
    "rouge_l_of",
    "vocabulary_used",
]
