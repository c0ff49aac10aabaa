"""Self-critical training: captions are drawn, and those better than others of their image rewarded.

Rennie et al., "Self-critical sequence training for image captioning" (2017), with the baseline of
Luo, "A better variant of self-critical sequence training" (2020): the mean reward of the image's
other samples. The reward is CIDEr-D against the image's own captions, the end counting as a word,
with the document frequencies of the training captions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from captioner.decoders import Decoder
from captioner.scoring import CiderD, DocumentFrequencies
from captioner.search import Search, SearchOptions
from captioner.training.examples import captions_in
from captioner.training.sources import Images
from captioner.vocabulary import PADDING, Vocabulary


class Rewards:
    """Scores sampled captions of the training images.

    Args:
        images: those of the training split.
        vocabulary: of the captions' tokens. Only captions in its first language count.
    """

    def __init__(self, images: Images, vocabulary: Vocabulary) -> None:
        language = vocabulary.language
        groups = {}
        for record in images.in_order().as_numpy_iterator():
            texts = captions_in(record, language)
            if texts:
                groups[record["id"]] = [vocabulary.encode(text, language)[1:] for text in texts]
        self._scorer = CiderD(DocumentFrequencies.of(groups.values()))
        self._prepared = {id: self._scorer.references(group) for id, group in groups.items()}

    def of(self, id: bytes, samples: np.ndarray) -> list[float]:
        """The reward of each sample, int32 [samples, length], of an image.

        All are 0 for an image without captions, which so teaches nothing.
        """
        if id not in self._prepared:
            return [0.0] * len(samples)
        return [
            self._scorer.score([token for token in row if token != PADDING], self._prepared[id])
            for row in samples.tolist()
        ]


class Sampler:
    """Draws captions of the decoder as it is when it is called.

    Args:
        decoder: to draw from.
        vocabulary: of its tokens. Captions are in its first language.
        count: captions an image.
        max_length: the most tokens of a caption, its end among them.
    """

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary, count: int, max_length: int):
        self._shape = (count, max_length)
        options = SearchOptions(width=count, max_length=max_length, sample=True)
        self._search = Search(decoder, options, vocabulary).model
        self.start = self._search.start

    def __call__(self, features: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
        """Tokens, int32 [batch, samples, length], of features [batch, *feature_shape]."""
        shape = (len(features), *self._shape)
        uniforms = np.random.default_rng(seed).random(shape, dtype=np.float32)
        inputs = {"features": features, "uniforms": uniforms}
        return self._search.predict_on_batch(inputs)[0]


@dataclasses.dataclass(frozen=True)
class SampledBatches:
    """An epoch's batches, as a `Learner` takes them, each sampled when it is asked for.

    Args:
        images: of each batch {"id", "features"}.
        sample: draws captions.
        rewards: of the samples.
        seed: of this epoch.
        first: the number of the first batch in the epoch.
    """

    images: tf.data.Dataset
    sample: Sampler
    rewards: Rewards
    seed: int
    first: int

    @property
    def element_spec(self) -> Any:
        """As of a `tf.data.Dataset`."""
        features = self.images.element_spec["features"]
        tokens = tf.TensorSpec((None, None, None), tf.int32)
        weights = tf.TensorSpec((None, None, None), tf.float32)
        number = tf.TensorSpec((), tf.float32)
        totals = {"words": number, "examples": number, "reward": number}
        return {"features": features, "tokens": tokens}, tokens, weights, totals

    def __iter__(self) -> Iterator[Any]:
        to_tensors = tf.convert_to_tensor
        return (tf.nest.map_structure(to_tensors, batch) for batch in self.as_numpy_iterator())

    def as_numpy_iterator(self) -> Iterator[Any]:
        """Each batch as NumPy arrays."""
        for step, batch in enumerate(self.images.as_numpy_iterator(), self.first):
            samples = self.sample(batch["features"], (self.seed, step))
            yield self._example(batch, samples)

    def _example(self, batch: dict[str, np.ndarray], samples: np.ndarray) -> tuple[Any, ...]:
        samples = trimmed(samples)
        rewards = np.array(list(map(self.rewards.of, batch["id"], samples)), np.float32)
        words = (samples != PADDING).astype(np.float32)
        read = np.insert(samples[..., :-1], 0, self.sample.start, axis=-1)
        totals = {"words": words.sum(), "examples": len(samples), "reward": rewards.mean()}
        totals = {name: np.float32(total) for name, total in totals.items()}
        weights = words * advantages(rewards)[..., None]
        return {"features": batch["features"], "tokens": read}, samples, weights, totals


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Samples [..., length] without most of what is padding in all of them.

    The length stays a multiple of eight, if it was longer, so that few lengths are compiled for.
    """
    longest = int((samples != PADDING).sum(axis=-1).max())
    return samples[..., : -(-longest // 8) * 8]


def advantages(rewards: np.ndarray) -> np.ndarray:
    """How much better each sample is than the mean of the others of its image.

    Args:
        rewards: float32 [images, samples], at least two samples.

    Returns:
        The same shape.
    """
    count = rewards.shape[1]
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / (count - 1)
    return rewards - others
