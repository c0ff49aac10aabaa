"""From extracted features to batches of captions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from captioner.records import FeatureDataset
from captioner.vocabulary import PADDING, Vocabulary

# Features that need less memory than this are kept there after they were first read; of others
# this many bytes are shuffled at a time.
_MEMORY_BYTES = 4 * 2**30

# An image is looked at once for so many of its captions: Flickr8k, Flickr30k and COCO have five.
CAPTIONS_AT_ONCE = 5

# Captions are batched with others of about their length: what pads them is computed in vain.
_LENGTH_CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one pass over the training images tells.

    Attributes:
        captions: of each image, as written.
        mean, variance: of the features by channel, float64 [channels].
    """

    captions: list[list[str]]
    mean: np.ndarray
    variance: np.ndarray


def read(dataset: FeatureDataset, split: str, seed: int) -> tf.data.Dataset:
    """A split's records, held in memory from the first pass on if they fit."""
    if dataset.counts.get(split, 0) <= _images_in_memory(dataset):
        return dataset.records(split).cache()
    return dataset.records(split, seed)


def survey(records: Iterable[dict[str, Any]], channels: int) -> Survey:
    """Read records, as NumPy values, once."""
    captions: list[list[str]] = []
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for record in records:
        captions.append([caption.decode() for caption in record["captions"]])
        cells = record["features"].reshape(-1, channels).astype(np.float64)
        count += len(cells)
        total += cells.sum(axis=0)
        squares += np.square(cells).sum(axis=0)
    mean = total / max(count, 1)
    return Survey(captions, mean, np.maximum(squares / max(count, 1) - mean**2, 0.0))


@dataclasses.dataclass(frozen=True)
class Batches:
    """Makes batches of images with their captions.

    Args:
        vocabulary: of the tokens.
        lengths: the numbers of tokens, ascending, that captions are padded to; what is longer
            than the last is cut off.
        size: images in a batch; one with more than `CAPTIONS_AT_ONCE` captions counts again.
    """

    vocabulary: Vocabulary
    lengths: tuple[int, ...]
    size: int

    def steps(self, captions: Iterable[list[str]]) -> int:
        """How many batches images with these captions make."""
        longest = [
            int((tokens != PADDING).sum(axis=-1).max())
            for texts in captions
            for tokens in self._groups([text.encode() for text in texts])
        ]
        classes = np.searchsorted(self.lengths, longest)
        return int(np.ceil(np.bincount(classes) / self.size).sum())

    def of(
        self, records: tf.data.Dataset, shuffled_images: int = 0, seed: int | None = None
    ) -> tf.data.Dataset:
        """Every caption once, with its image's features.

        Args:
            records: as of `FeatureDataset.records`.
            shuffled_images: how many images to shuffle at a time, anew each pass; 0 for none.
            seed: of the shuffling.

        Returns:
            Inputs (as of `Decoder.call`), the token after each, int32 [batch, captions, length],
            and its weight, float32: 0 where it is padding.
        """
        if shuffled_images:
            records = records.shuffle(shuffled_images, seed)
        batches = records.flat_map(self._with_tokens).bucket_by_sequence_length(
            lambda features, tokens: tf.shape(tokens)[1],
            bucket_boundaries=[length + 1 for length in self.lengths],
            bucket_batch_sizes=[self.size] * (len(self.lengths) + 1),
            pad_to_bucket_boundary=True,
        )
        return batches.map(_to_example).prefetch(tf.data.AUTOTUNE)

    def _with_tokens(self, record: dict[str, tf.Tensor]) -> tf.data.Dataset:
        """An image's features with tokens, int32 [CAPTIONS_AT_ONCE, length], for each group."""
        groups = tf.numpy_function(self._groups, [record["captions"]], tf.int32)
        groups = tf.ensure_shape(groups, (None, CAPTIONS_AT_ONCE, self.lengths[-1]))
        return tf.data.Dataset.from_tensor_slices(groups).map(
            lambda tokens: (record["features"], _trimmed(tokens))
        )

    def _groups(self, captions: Iterable[bytes]) -> np.ndarray:
        """UTF-8 texts into token ids, int32 [groups, CAPTIONS_AT_ONCE, longest].

        Captions without a word are left out; missing ones are all padding.
        """
        rows = [self.vocabulary.encode(caption.decode()) for caption in captions]
        rows = [row for row in rows if len(row) > 2]  # more than start and end
        rows += [[]] * (-len(rows) % CAPTIONS_AT_ONCE)
        longest = self.lengths[-1]
        tokens = np.full((len(rows), longest), PADDING, np.int32)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = row[:longest]
        return tokens.reshape(-1, CAPTIONS_AT_ONCE, longest)


def length_classes(token_counts: np.ndarray, longest: int) -> tuple[int, ...]:
    """Lengths to pad to, such that about as many captions have each."""
    shares = np.linspace(0, 1, _LENGTH_CLASSES + 1)[1:]
    quantiles = np.quantile(np.minimum(token_counts, longest), shares, method="inverted_cdf")
    return tuple(int(length) for length in np.unique(quantiles))


def shuffled_images(dataset: FeatureDataset) -> int:
    """How many training images to shuffle at a time."""
    return max(1, min(dataset.counts["train"], _images_in_memory(dataset)))


def _images_in_memory(dataset: FeatureDataset) -> int:
    return _MEMORY_BYTES // (math.prod(dataset.feature_shape) * np.dtype(np.float16).itemsize)


def _trimmed(tokens: tf.Tensor) -> tf.Tensor:
    """Without the columns behind the longest caption."""
    used = tf.reduce_any(tokens != PADDING, axis=0)
    return tokens[:, : tf.reduce_sum(tf.cast(used, tf.int32))]


def _to_example(features: tf.Tensor, tokens: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
    following = tokens[..., 1:]
    weights = tf.cast(following != PADDING, tf.float32)
    return {"features": features, "tokens": tokens[..., :-1]}, following, weights
