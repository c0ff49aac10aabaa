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

# Features that need less memory than this are kept there after they were first read; of others
# this many bytes are shuffled at a time.
_MEMORY_BYTES = 4 * 2**30

# A grid is looked at once for so many of its captions: Flickr8k, Flickr30k and COCO have five.
_CAPTIONS_AT_ONCE = 5
# Captions that come alone are shuffled among so many; with them wait their images' features.
_CAPTIONS_SHUFFLED = 2**16

# Captions are batched with others of about their length: what pads them is computed in vain. These
# shares of them are no longer than each class's length; few are very long.
_LENGTH_SHARES = (0.25, 0.5, 0.75, 0.9, 0.98, 1)


class FeatureImages:
    """A split's records, held in memory from the first pass on if they fit.

    Args:
        dataset: where they are.
        split: train, dev or test.
    """

    def __init__(self, dataset: FeatureDataset, split: str) -> None:
        self._dataset = dataset
        self._split = split
        self._count = dataset.counts.get(split, 0)
        self._at_once = min(self._count, _images_in_memory(dataset))
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
        return (self._in_groups(captions) != PADDING).sum(axis=-1).max(axis=-1)

    def of(self, records: tf.data.Dataset, seed: int | None = None) -> tf.data.Dataset:
        """Every caption once, with its image's features.

        Args:
            records: as of `FeatureDataset.records`.
            seed: captions that come alone are shuffled by it; they stay in order without.

        Returns:
            Inputs (as of `Decoder.call`), the token after each, int32 [batch, captions, length],
            and its weight, float32: 0 where it is padding.
        """
        examples = records.flat_map(self._with_tokens)
        if seed is not None and self.at_once == 1:
            examples = examples.shuffle(_CAPTIONS_SHUFFLED, seed, reshuffle_each_iteration=False)
        batches = examples.bucket_by_sequence_length(
            lambda features, tokens: tf.shape(tokens)[1],
            bucket_boundaries=[length + 1 for length in self.lengths],
            bucket_batch_sizes=[self.size] * (len(self.lengths) + 1),
            pad_to_bucket_boundary=True,
        )
        return batches.map(to_example).prefetch(tf.data.AUTOTUNE)

    def _with_tokens(self, record: dict[str, tf.Tensor]) -> tf.data.Dataset:
        """An image's features with tokens, int32 [at_once, length], for each group."""
        texts = [record["captions"], record["languages"]]
        groups = tf.numpy_function(self._groups, texts, tf.int32)
        groups = tf.ensure_shape(groups, (None, self.at_once, self.lengths[-1]))
        return tf.data.Dataset.from_tensor_slices(groups).map(
            lambda tokens: (record["features"], _trimmed(tokens))
        )

    def _groups(self, captions: np.ndarray, languages: np.ndarray) -> np.ndarray:
        return self._in_groups(captions_of({"captions": captions, "languages": languages}))

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


def _images_in_memory(dataset: FeatureDataset) -> int:
    return _MEMORY_BYTES // (math.prod(dataset.feature_shape) * np.dtype(np.float16).itemsize)


def _trimmed(tokens: tf.Tensor) -> tf.Tensor:
    """Without the columns behind the longest caption."""
    used = tf.reduce_any(tokens != PADDING, axis=0)
    return tokens[:, : tf.reduce_sum(tf.cast(used, tf.int32))]
