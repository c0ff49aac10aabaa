"""A caption output held against reference captions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from captioner import captions, corpora, scoring, shards
from captioner.corpora import CaptionedImage, scenes
from captioner.errors import UserError
from captioner.scoring import Bleu
from captioner.wording import counted

FORMAT = 1

ALL = "all"  # instead of a split's name: the images of every split, and of none


class Comparison(NamedTuple):
    """One image's caption and its references.

    Args:
        id: the image's.
        caption: what the run made of it; None if it failed, which counts as no words.
        language: that its words are told by, a BCP 47 tag or empty.
        references: what people made of it.
    """

    id: str
    caption: str | None
    language: str
    references: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The caption's words."""
        return _tokens(self.caption or "", self.language)

    @property
    def reference_words(self) -> list[list[str]]:
        """The words of each reference."""
        return [_tokens(text, self.language) for text in self.references]

    @property
    def is_right(self) -> bool | None:
        """Whether every fact of the caption is right; None if not all references are scenes'."""
        if any(scenes.read_facts(text) is None for text in self.references):
            return None
        return scenes.is_right(self.caption or "", self.references)


@dataclasses.dataclass(frozen=True)
class Scores:
    """How good and how varied a run's captions are.

    Args:
        split: what was compared; empty for what is in no split, `ALL` for all.
        images: how many of it the run has tried; each of them counts for what follows.
        failed: how many of them have no caption. They count as captions without words, but not
            for the four figures of variety.
        bleu: corpus BLEU-1 to 4, each from 0 to 1.
        rouge_l: from 0 to 1.
        cider_d: from 0 to 10, with the document frequencies of the references compared.
        meteor: from 0 to 1; None where it was not computed.
        vocabulary_used: how many different words the captions are made of.
        mean_length: words a caption.
        distinct: different captions, as a share of all.
        copied: share of captions that are word for word a caption of the references' train split;
            None if there is none.
        right: share of captions that are wholly right, where all references are those of drawn
            scenes; else None.
    """

    split: str
    images: int
    failed: int
    bleu: Bleu
    rouge_l: float
    cider_d: float
    meteor: float | None
    vocabulary_used: int
    mean_length: float
    distinct: float
    copied: float | None
    right: float | None

    def to_json(self, captions: str, references: str) -> str:
        """The scores as a file has them, with what was held against what. See docs/contracts.md."""
        compared = {"format": FORMAT, "captions": captions, "references": references}
        settings = shards.latest_settings(captions)
        values = {**compared, "settings": settings, **dataclasses.asdict(self)}
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Scores:
        """The inverse of `to_json`, but for what was held against what.

        Raises:
            UserError: it is of another version.
        """
        values = json.loads(text)
        if values.get("format") != FORMAT:
            raise UserError("scores made by another version of captioner; score again")
        known = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**known, "bleu": tuple(known["bleu"])})

    def as_text(self) -> str:
        """The scores for people."""
        bleu = ", ".join(f"BLEU-{n} {score:.3f}" for n, score in enumerate(self.bleu, 1))
        of = "all splits" if self.split == ALL else f"the split '{self.split}'"
        meteor = "" if self.meteor is None else f", METEOR {self.meteor:.3f}"
        lines = [
            f"{counted(self.images, 'image')} of {of}: {bleu}, "
            f"ROUGE-L {self.rouge_l:.3f}, CIDEr-D {self.cider_d:.3f}{meteor}",
            f"{counted(self.vocabulary_used, 'different word')}, {self.mean_length:.1f} a caption; "
            f"{self.distinct:.0%} of the captions are distinct",
        ]
        if self.copied is not None:
            lines[-1] += f", {self.copied:.0%} are copied from training captions"
        if self.failed:
            lines.append(f"{self.failed} of them failed and count as wrong")
        if self.right is not None:
            lines.append(f"wholly right: {self.right:.1%}")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A run's captions and their scores.

    Args:
        comparisons: every image of the split that the run has tried, in the order of the ids.
        scores: of them.
        others: how many images of other splits it has tried.
    """

    comparisons: tuple[Comparison, ...]
    scores: Scores
    others: int = 0

    @functools.cached_property
    def cider_d(self) -> list[float]:
        """That of each comparison; their mean is the scores'."""
        texts = [found.words for found in self.comparisons]
        return scoring.cider_d_of_each(texts, [found.reference_words for found in self.comparisons])

    def as_text(self, show: int) -> str:
        """`show` captions and the scores, for people."""
        lines = [
            f"{found.id}\n    {self._mark(found)}{found.caption or ''}\n    ({found.references[0]})"
            for found in self.sample(show)
        ]
        if self.others:
            lines.append(f"left out: {counted(self.others, 'image')} of other splits (see --split)")
        return "\n".join([*lines, self.scores.as_text()])

    def _mark(self, found: Comparison) -> str:
        if self.scores.right is None:
            return ""
        return "right: " if found.is_right else "WRONG: "

    def sample(self, count: int) -> list[Comparison]:
        """Some of the comparisons, chosen by the hash of their ids: always the same."""
        by_hash = sorted(
            self.comparisons, key=lambda found: hashlib.sha256(found.id.encode()).digest()
        )
        return by_hash[:count]


def evaluate(
    output: str,
    references: str,
    references_format: str | None = None,
    splits: str | None = None,
    split: str | None = None,
) -> Evaluation:
    """Score a caption output, in this process. `pipelines/score_captions` does it as a job.

    Args:
        output: the caption directory.
        references, references_format, splits: the captioned collection, see `corpora.read`.
        split: what to score, or `ALL`; by default see `choose_split`.

    Raises:
        UserError: there are no captions, no references, or none of the split.
    """
    outcomes = captions.outcomes(output)
    collection = list(corpora.read(references, references_format, splits))
    tried = [image for image in collection if image.id in outcomes]
    split = choose_split({image.split for image in tried}, split)
    chosen = [image for image in tried if split in (ALL, image.split)]
    if not chosen:
        raise nothing_to_score(output, references, split)
    records = captions.standing(output, outcomes)
    made = {record.id: (record.caption, record.language) for record in records}
    comparisons = tuple(
        compare(image, *made.get(image.id, (None, "")))
        for image in sorted(chosen, key=lambda image: image.id)
    )
    training = [words for image in collection for words in training_words(image)]
    others = len(tried) - len(chosen)
    return Evaluation(comparisons, _scores(split, comparisons, training), others)


def compare(image: CaptionedImage, caption: str | None, language: str) -> Comparison:
    """An image's caption beside its references: those in its language, if any are.

    Args:
        caption: None if the image failed.
        language: of the caption; where it is empty, its words are told as its references' are.
    """
    references = tuple(text for text, of in image.tagged() if language and of == language)
    language = language or next(filter(None, image.languages), "")
    return Comparison(image.id, caption, language, references or image.captions)


def choose_split(found: Collection[str], asked: str | None = None) -> str:
    """The split to score: what was asked for, or the first of test, dev and train with images."""
    return asked or next((name for name in ("test", "dev", "train") if name in found), "")


def nothing_to_score(output: str, references: str, split: str) -> UserError:
    """The error where no image of the split is in the output."""
    of = references if split == ALL else f"the split '{split}' of {references}"
    return UserError(
        f"{output}: none of its images is in {of}; caption images of that, or choose "
        "another --split or --references"
    )


def training_words(image: CaptionedImage) -> Iterable[list[str]]:
    """The words of each caption of an image for training; nothing of others."""
    tagged = image.tagged() if image.split == "train" else ()
    return filter(None, (_tokens(text, language) for text, language in tagged))


def _scores(split: str, comparisons: Sequence[Comparison], training: Sequence[list[str]]) -> Scores:
    texts = [found.words for found in comparisons]
    references = [found.reference_words for found in comparisons]
    made = [
        words for words, found in zip(texts, comparisons, strict=True) if found.caption is not None
    ]
    return Scores(
        split=split,
        images=len(comparisons),
        failed=len(comparisons) - len(made),
        bleu=scoring.bleu(texts, references),
        rouge_l=scoring.rouge_l(texts, references),
        cider_d=scoring.cider_d(texts, references),
        meteor=scoring.meteor(texts, references) if _are_english(comparisons) else None,
        vocabulary_used=scoring.vocabulary_used(made),
        mean_length=scoring.mean_length(made),
        distinct=scoring.distinct(made),
        copied=scoring.copied(made, training) if training else None,
        right=_share_right(comparisons),
    )


def _tokens(caption: str, language: str) -> list[str]:
    return corpora.words(caption, language)


def _are_english(comparisons: Iterable[Comparison]) -> bool:
    """Whether all captions are in the one language that METEOR is for, as far as is known."""
    return {found.language.partition("-")[0] for found in comparisons} <= {"", "en"}


def _share_right(comparisons: Sequence[Comparison]) -> float | None:
    """None unless every reference states a scene's facts, as no other collection's do."""
    right = [found.is_right for found in comparisons]
    return None if None in right else sum(right) / len(right)
