"""How good a decoder is while it is trained: greedy captions of the development split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from captioner.decoders import Decoder
from captioner.scoring import CiderD, DocumentFrequencies
from captioner.search import Search, SearchOptions
from captioner.training.examples import captions_in
from captioner.vocabulary import END, Vocabulary

# More images than this make the figure hardly surer, and every epoch longer.
_IMAGES = 2000
_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image's caption, beside one by a person."""

    id: str
    caption: str
    reference: str


class Measure:
    """Captions a decoder's development images and scores them, in each language it knows.

    Args:
        decoder: as it is when it is measured.
        vocabulary: of its tokens.
        records: of the development split, of which at most the first 2,000 are captioned, or of
            several languages that part of as many each.
    """

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary, records: tf.data.Dataset) -> None:
        languages = vocabulary.languages or (vocabulary.language,)
        few = records.take(_IMAGES // len(languages))
        self._parts = [_InLanguage(decoder, vocabulary, few, its) for its in languages]

    def __call__(self) -> tuple[float, list[Sample]]:
        """The mean CIDEr-D, and the captions it is of.

        It is reckoned over token ids, in which what is rare is unknown.
        """
        scored = [pair for part in self._parts for pair in part()]
        mean = float(np.mean([score for score, _ in scored])) if scored else 0.0
        return mean, [sample for _, sample in scored]


class _InLanguage:
    """Those captions that are in one language."""

    def __init__(
        self, decoder: Decoder, vocabulary: Vocabulary, records: tf.data.Dataset, language: str
    ) -> None:
        self._vocabulary = vocabulary
        self._search = Search(decoder, SearchOptions(width=1, language=language), vocabulary)
        self._ids: list[str] = []
        self._references: list[list[str]] = []
        features = []
        for record in records.as_numpy_iterator():
            texts = captions_in(record, language)
            if texts:
                self._ids.append(record["id"].decode())
                self._references.append(texts)
                features.append(record["features"])
        self._features = np.stack(features) if features else np.empty((0,))
        groups = [
            [vocabulary.encode(text, language)[1:-1] for text in group]
            for group in self._references
        ]
        self._scorer = CiderD(DocumentFrequencies.of(groups))
        self._prepared = [self._scorer.references(group) for group in groups]

    def __call__(self) -> Iterator[tuple[float, Sample]]:
        """Each image's CIDEr-D and caption."""
        told = zip(self._ids, self._captions(), self._references, self._prepared, strict=True)
        for id, caption, references, prepared in told:
            sample = Sample(id, self._vocabulary.decode(caption), references[0])
            yield self._scorer.score(caption, prepared), sample

    def _captions(self) -> Iterator[list[int]]:
        """The words of each image's greedy caption, as ids."""
        for start in range(0, len(self._features), _BATCH_SIZE):
            batch = self._features[start : start + _BATCH_SIZE]
            padding = [(0, _BATCH_SIZE - len(batch))] + [(0, 0)] * (batch.ndim - 1)
            padded = np.pad(batch, padding)
            tokens, _ = self._search(padded, padded)
            for row in tokens[: len(batch), 0].tolist():
                yield [token for token in row if token > END]
