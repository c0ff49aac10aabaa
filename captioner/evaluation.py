"""A caption output held against reference captions."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

from captioner import captions, corpora, scoring
from captioner.corpora import CaptionedImage, scenes
from captioner.errors import UserError


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One image's caption and its references."""

    id: str
    caption: str
    references: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """For drawn scenes: whether every fact of the caption is right."""
        return scenes.is_right(self.caption, self.references)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How good a run's captions are.

    Args:
        split: what was compared; empty for everything.
        comparisons: every image of the run that has references, in the order of the ids. An
            image that failed has an empty caption, and so counts as wrong.
        missing: how many failed.
        bleu: corpus BLEU-1 to 4.
        right: share of captions that are wholly right, where the references are those of drawn
            scenes; else None.
    """

    split: str
    comparisons: tuple[Comparison, ...]
    missing: int
    bleu: tuple[float, float, float, float]
    right: float | None

    def as_text(self, show: int) -> str:
        """The scores and `show` captions, for people."""
        lines = [
            f"{found.id}\n    {self._mark(found)}{found.caption}\n    ({found.references[0]})"
            for found in self.sample(show)
        ]
        bleu = ", ".join(f"BLEU-{n} {score:.3f}" for n, score in enumerate(self.bleu, 1))
        lines.append(f"{len(self.comparisons)} images of the split '{self.split}': {bleu}")
        texts = [_tokens(found.caption) for found in self.comparisons]
        lines.append(
            f"{scoring.vocabulary_used(texts)} different words, "
            f"{scoring.mean_length(texts):.1f} a caption; "
            f"{scoring.distinct(texts):.0%} of the captions are distinct"
        )
        if self.missing:
            lines.append(f"{self.missing} of them failed and count as wrong")
        if self.right is not None:
            lines.append(f"wholly right: {self.right:.1%}")
        return "\n".join(lines)

    def _mark(self, found: Comparison) -> str:
        if self.right is None:
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
    """Score a caption output.

    Args:
        output: the caption directory.
        references, references_format, splits: the captioned collection, see `corpora.read`.
        split: what to score; by default test, or dev, or train: the first with images.

    Raises:
        UserError: there are no captions, no references, or none of the split.
    """
    outcomes = captions.outcomes(output)
    collection = [
        image
        for image in corpora.read(references, references_format, splits)
        if image.id in outcomes
    ]
    found = {image.split for image in collection}
    split = split or next((name for name in ("test", "dev", "train") if name in found), "")
    chosen = [image for image in collection if image.split == split]
    if not chosen:
        raise UserError(
            f"{output}: {references} has no captions for any image of it in the split '{split}'"
        )
    generated = {record.id: record.caption for record in captions.read(output)}
    comparisons = tuple(_compare(chosen, generated))
    return Evaluation(
        split=split,
        comparisons=comparisons,
        missing=sum(image.id not in generated for image in chosen),
        bleu=_bleu(comparisons),
        right=_share_right(comparisons),
    )


def _compare(
    collection: Iterable[CaptionedImage], generated: dict[str, str]
) -> Iterable[Comparison]:
    for image in sorted(collection, key=lambda image: image.id):
        yield Comparison(image.id, generated.get(image.id, ""), image.captions)


def _bleu(comparisons: Sequence[Comparison]) -> tuple[float, float, float, float]:
    return scoring.bleu(
        [_tokens(found.caption) for found in comparisons],
        [[_tokens(text) for text in found.references] for found in comparisons],
    )


def _tokens(caption: str) -> list[str]:
    return corpora.clean(caption).split()


def _share_right(comparisons: Sequence[Comparison]) -> float | None:
    """None unless every reference states a scene's facts, as no other collection's do."""
    texts = (text for found in comparisons for text in found.references)
    if any(scenes.read_facts(text) is None for text in texts):
        return None
    return sum(found.is_right for found in comparisons) / len(comparisons)
