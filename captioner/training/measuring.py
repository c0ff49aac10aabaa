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
    """Captions a decoder's development images and scores them.

    Args:
        decoder: as it is when it is measured.
        vocabulary: of its tokens. Captions are made in its first language.
        records: of the development split, of which at most the first 2,000 are captioned.
    """

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary, records: tf.data.Dataset) -> None:
        self._vocabulary = vocabulary
        self._search = Search(decoder, SearchOptions(width=1), vocabulary)
        self._ids: list[str] = []
        self._references: list[list[str]] = []
        features = []
        language = vocabulary.language
        for record in records.take(_IMAGES).as_numpy_iterator():
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

    def __call__(self) -> tuple[float, list[Sample]]:
        """The mean CIDEr-D, and the captions it is of.

        It is reckoned over token ids, in which what is rare is unknown.
        """
        captions = list(self._captions())
        scores = list(map(self._scorer.score, captions, self._prepared))
        samples = [
            Sample(id, self._vocabulary.decode(caption), references[0])
            for id, caption, references in zip(self._ids, captions, self._references, strict=True)
        ]
        return float(np.mean(scores)) if scores else 0.0, samples

    def _captions(self) -> Iterator[list[int]]:
        """The words of each image's greedy caption, as ids."""
        for start in range(0, len(self._features), _BATCH_SIZE):
            batch = self._features[start : start + _BATCH_SIZE]
            padding = [(0, _BATCH_SIZE - len(batch))] + [(0, 0)] * (batch.ndim - 1)
            padded = np.pad(batch, padding)
            tokens, _ = self._search(padded, padded)
            for row in tokens[: len(batch), 0].tolist():
                yield [token for token in row if token > END]
