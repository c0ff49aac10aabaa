"""Captioned collections on disk: reading them, the words of their captions, and checking them.

`read` takes Flickr8k's and Flickr30k's own files, COCO's captions JSON, JSONL and CSV. `scenes`
is a collection that draws itself.
"""

from captioner.corpora.cleaning import clean, is_unspaced, join, words
from captioner.corpora.descriptions import write_descriptions
from captioner.corpora.languages import language_tag
from captioner.corpora.reading import FORMATS, CaptionedImage, read
from captioner.corpora.report import CorpusReport, report
from captioner.corpora.splits import SPLITS, split_of

__all__ = [
    "FORMATS",
    "SPLITS",
    "CaptionedImage",
    "CorpusReport",
    "clean",
    "is_unspaced",
    "join",
    "language_tag",
    "read",
    "report",
    "split_of",
    "words",
    "write_descriptions",
]
