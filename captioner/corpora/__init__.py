"""Captioned collections on disk: reading them, cleaning their captions, and checking them.

`read` takes Flickr8k's and Flickr30k's own files, COCO's captions JSON, JSONL and CSV. `scenes`
is a collection that draws itself.
"""

from captioner.corpora.cleaning import clean
from captioner.corpora.descriptions import write_descriptions
from captioner.corpora.reading import FORMATS, CaptionedImage, read
from captioner.corpora.report import CorpusReport, report
from captioner.corpora.splits import SPLITS, split_of

__all__ = [
    "FORMATS",
    "SPLITS",
    "CaptionedImage",
    "CorpusReport",
    "clean",
    "read",
    "report",
    "split_of",
    "write_descriptions",
]
