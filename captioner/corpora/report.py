"""What is amiss in a collection, told before anything is spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from captioner.corpora.cleaning import words
from captioner.corpora.reading import CaptionedImage
from captioner.corpora.splits import SPLITS
from captioner.wording import counted

# Flickr8k's longest caption has 35 words: what is longer than this is a text, not a caption.
MAX_WORDS = 50
_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """How often something is amiss, and the first few ids."""

    count: int
    examples: tuple[str, ...]

    @classmethod
    def of(cls, ids: Sequence[str]) -> Finding:
        """Of all the ids where it is amiss."""
        return cls(len(ids), tuple(ids[:_EXAMPLES]))

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count:,} ({', '.join(self.examples)}{more})"


@dataclass(frozen=True)
class CorpusReport:
    """How an image folder and its captions fit together.

    Attributes:
        images: images that have captions and are there.
        captions: captions of these images.
        splits: of these images, how many are in each split; "" for those in none.
        languages: of these captions, how many are in each language; "" for those of an unknown one.
        findings: what is amiss, by a description; nothing that isn't.
    """

    images: int
    captions: int
    splits: dict[str, int]
    languages: dict[str, int]
    findings: dict[str, Finding]

    def __str__(self) -> str:
        splits = ", ".join(f"{split or 'in no split'} {n:,}" for split, n in self.splits.items())
        images, captions = counted(self.images, "image"), counted(self.captions, "caption")
        heading = f"{images} with {captions}: {splits or 'none'}"
        if any(self.languages):
            known = (f"{name or 'unknown'} {n:,}" for name, n in self.languages.items())
            heading += f"; languages: {', '.join(known)}"
        lines = [f"  {what}: {finding}" for what, finding in self.findings.items()]
        return "\n".join([heading, *lines])


def report(images: Iterable[str], corpus: Iterable[CaptionedImage]) -> CorpusReport:
    """Hold the images that are there against a collection's captions.

    Args:
        images: the ids of the images, as listed.
        corpus: what `read` returns.
    """
    listed = dict.fromkeys(images)
    corpus = list(corpus)
    used = [image for image in corpus if image.id in listed]
    captioned = {image.id for image in corpus}
    cleaned = [
        (f"{image.id}#{number}", words(*tagged))
        for image in corpus
        for number, tagged in enumerate(image.tagged())
    ]
    amiss = {
        "images without captions": [id for id in listed if id not in captioned],
        "captions without an image": [image.id for image in corpus if image.id not in listed],
        "captions without a word": [caption for caption, found in cleaned if not found],
        f"captions of more than {MAX_WORDS} words": [
            caption for caption, found in cleaned if len(found) > MAX_WORDS
        ],
        "images in two splits": [image.id for image in corpus if image.other_splits],
    }
    return CorpusReport(
        images=len(used),
        captions=sum(len(image.captions) for image in used),
        splits=_by_split(used),
        languages=_by_language(used),
        findings={what: Finding.of(ids) for what, ids in amiss.items() if ids},
    )


def _by_split(images: Iterable[CaptionedImage]) -> dict[str, int]:
    counts = Counter(image.split for image in images)
    return {split: counts[split] for split in (*SPLITS, "") if counts[split]}


def _by_language(images: Iterable[CaptionedImage]) -> dict[str, int]:
    """The most frequent first."""
    return dict(
        Counter(language for image in images for _, language in image.tagged()).most_common()
    )
