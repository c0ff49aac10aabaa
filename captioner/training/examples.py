"""From extracted features to batches of captions."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from captioner.records import FeatureDataset
from captioner.vocabulary import PADDING, Vocabulary

_MEMORY_BYTES = 4 * 2**30

# A grid is looked at once for so many of its captions: Flickr8k, Flickr30k and COCO have five.
_CAPTIONS_AT_ONCE = 5
# Captions that come alone are shuffled among so many; with them wait their images' features.
_CAPTIONS_SHUFFLED = 2**16
# Images whose captions become tokens in one call.
_READ_AT_ONCE = 32

# Captions are batched with others of about their length: what pads them is computed in vain. These
# shares of them are no longer than each class's length; few are very long.
_LENGTH_SHARES = (0.25, 0.5, 0.75, 0.9, 0.98, 1)


class FeatureImages:
    """A split's records, held in memory from the first pass on if they fit.

    Args:
        dataset: where they are.
        split: train, dev or test.
        memory: bytes that their features may take there. Of more, so many are shuffled at a time.
    """

    def __init__(self, dataset: FeatureDataset, split: str, memory: int = _MEMORY_BYTES) -> None:
        self._dataset = dataset
        self._split = split
        self._count = dataset.counts.get(split, 0)
        self._at_once = min(self._count, memory // dataset.bytes_per_image)
        fit = self._at_once == self._count
        self._held = dataset.records(split).cache() if fit else None

    def in_order(self) -> tf.data.Dataset:
        """All records, always in the same order."""
        return self._dataset.records(self._split) if self._held is None else self._held

    def shuffled(self, seed: int) -> tf.data.Dataset:
        """All records, in an order that is the seed's."""
        held = self._dataset.records(self._split, seed) if self._held is None else self._held
        return held.shuffle(max(1, self._at_once), seed, reshuffle_each_iteration=False)

    def survey(self, shown: Callable[[Iterable[Any]], Iterable[Any]]) -> Survey:
        """Read all of them once, as `shown`."""
        records = shown(self.in_order().as_numpy_iterator())
        return survey(records, self._dataset.feature_shape[-1])


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one pass over the training images tells.

    Attributes:
        captions: of each image, as (caption as written, language).
        mean, variance: of the features by channel, float64 [channels].
    """

    captions: list[list[tuple[str, str]]]
    mean: np.ndarray
    variance: np.ndarray

    def vocabulary(self, min_count: int) -> Vocabulary:
        """Of the captions' words that are there at least `min_count` times."""
        captions = list(itertools.chain(*self.captions))
        texts, languages = zip(*captions, strict=True) if captions else ((), ())
        return Vocabulary.build(texts, min_count, languages)


def survey(records: Iterable[dict[str, Any]], channels: int) -> Survey:
    """Read records, as NumPy values, once."""
    captions = []
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for record in records:
        captions.append(list(captions_of(record)))
        cells = record["features"].reshape(-1, channels).astype(np.float64)
        count += len(cells)
        total += cells.sum(axis=0)
        squares += np.square(cells).sum(axis=0)
    mean = total / max(count, 1)
    return Survey(captions, mean, np.maximum(squares / max(count, 1) - mean**2, 0.0))


def captions_of(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each caption of a record, as NumPy values, with its language."""
    for caption, language in zip(record["captions"], record["languages"], strict=True):
        yield caption.decode(), language.decode()


def captions_in(record: dict[str, Any], language: str) -> list[str]:
    """The captions of a record, as NumPy values, that are in a language."""
    return [caption for caption, its in captions_of(record) if its == language]


@dataclasses.dataclass(frozen=True)
class Batches:
    """Makes batches of images with their captions.

    An example is an image with some of its captions.

    Args:
        vocabulary: of the tokens.
        lengths: the numbers of tokens, ascending, that captions are padded to; what is longer
            than the last is cut off.
        size: examples in a batch.
        at_once: captions of an example; an image that has more makes several.
    """

    vocabulary: Vocabulary
    lengths: tuple[int, ...]
    size: int
    at_once: int = _CAPTIONS_AT_ONCE

    @classmethod
    def suiting(
        cls,
        vocabulary: Vocabulary,
        captions: Iterable[Iterable[tuple[str, str]]],
        feature_shape: tuple[int, ...],
        images: int,
        longest: int,
    ) -> Batches:
        """Those that features of a shape are best learned from.

        A vector is cheap to look at: each caption comes with it alone, among captions of other
        images. A step so learns from more images, and pads less. A grid is looked at once for
        several captions.

        Args:
            vocabulary: of the tokens.
            captions: of each image, with their languages.
            feature_shape: (channels,) or (rows, columns, channels).
            images: in a batch. Where captions come alone it has as many as so many images have.
            longest: the most tokens of a caption.
        """
        at_once = 1 if math.prod(feature_shape[:-1]) == 1 else _CAPTIONS_AT_ONCE
        whole = cls(vocabulary, (longest,), images, at_once)
        by_image = list(filter(len, map(whole.token_counts, captions)))
        counts = np.concatenate(by_image)
        size = round(images * len(counts) / len(by_image)) if at_once == 1 else images
        return cls(vocabulary, length_classes(counts, longest), size, at_once)

    def steps(self, captions: Iterable[Iterable[tuple[str, str]]]) -> int:
        """How many batches images with these captions and languages make."""
        longest = np.concatenate([self.token_counts(pairs) for pairs in captions])
        classes = np.searchsorted(self.lengths, longest)
        return int(np.ceil(np.bincount(classes) / self.size).sum())

    def token_counts(self, captions: Iterable[tuple[str, str]]) -> np.ndarray:
        """The most tokens of a caption in each example that an image makes: int [examples]."""
        return _token_counts(self._in_groups(captions))

    def of(self, records: tf.data.Dataset, seed: int | None = None) -> tf.data.Dataset:
        """Every caption once, with its image's features.

        Args:
            records: as of `FeatureDataset.records`.
            seed: captions that come alone are shuffled by it; they stay in order without.

        Returns:
            Inputs (as of `Decoder.call`), the token after each, int32 [batch, captions, length],
            and its weight, float32: 0 where it is padding.
        """
        examples = records.ragged_batch(_READ_AT_ONCE).map(self._with_tokens).unbatch()
        if seed is not None and self.at_once == 1:
            examples = examples.shuffle(_CAPTIONS_SHUFFLED, seed, reshuffle_each_iteration=False)
        batches = examples.group_by_window(
            lambda features, tokens, length: length,
            lambda length, alike: alike.batch(self.size),
            window_size=self.size,
        )
        return batches.map(_as_long_as_they_are).map(to_example).prefetch(tf.data.AUTOTUNE)

    def _with_tokens(self, images: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of each group of the images' captions the features, tokens and what those are padded to.

        Many images at a time: each call of Python and each dataset within a dataset has its price.
        """
        captions, languages = images["captions"], images["languages"]
        told = [captions.flat_values, languages.flat_values, captions.row_lengths()]
        kinds = (tf.int32, tf.int64, tf.int64)
        tokens, lengths, places = tf.numpy_function(self._groups, told, kinds)
        tokens = tf.ensure_shape(tokens, (None, self.at_once, self.lengths[-1]))
        lengths, places = (tf.ensure_shape(values, (None,)) for values in (lengths, places))
        return tf.gather(images["features"], places), tokens, lengths

    def _groups(
        self, captions: np.ndarray, languages: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, the length that suits them, and the number of the image, of all groups."""
        pairs = captions_of({"captions": captions, "languages": languages})
        by_image = [self._in_groups(itertools.islice(pairs, int(count))) for count in counts]
        tokens = np.concatenate(by_image)
        lengths = np.array(self.lengths)[np.searchsorted(self.lengths, _token_counts(tokens))]
        return tokens, lengths, np.repeat(np.arange(len(counts)), [*map(len, by_image)])

    def _in_groups(self, captions: Iterable[tuple[str, str]]) -> np.ndarray:
        """Texts into token ids, int32 [groups, at_once, longest].

        Captions without a word are left out; missing ones are all padding.
        """
        rows = [self.vocabulary.encode(*pair) for pair in captions]
        rows = [row for row in rows if len(row) > 2]  # more than start and end
        rows += [[]] * (-len(rows) % self.at_once)
        return padded(rows, self.lengths[-1]).reshape(-1, self.at_once, self.lengths[-1])


def padded(rows: list[list[int]], length: int) -> np.ndarray:
    """Token ids as int32 [rows, length], cut off or padded."""
    tokens = np.full((len(rows), length), PADDING, np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row[:length]
    return tokens


def length_classes(token_counts: np.ndarray, longest: int) -> tuple[int, ...]:
    """Lengths to pad to, such that little is padding."""
    counts = np.minimum(token_counts, longest)
    quantiles = np.quantile(counts, _LENGTH_SHARES, method="inverted_cdf")
    return tuple(int(length) for length in np.unique(quantiles))


def to_example(features: Any, tokens: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
    """Features and whole captions, start and end among them, as `Batches.of` has them."""
    following = tokens[..., 1:]
    weights = tf.cast(following != PADDING, tf.float32)
    return {"features": features, "tokens": tokens[..., :-1]}, following, weights


def _token_counts(groups: np.ndarray) -> np.ndarray:
    """The most tokens of a caption in each group: int [groups]."""
    return (groups != PADDING).sum(axis=-1).max(axis=-1)


def _as_long_as_they_are(
    features: tf.Tensor, tokens: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch without the columns behind its length, which is the same for all of it."""
    return features, tokens[..., : lengths[0]]
