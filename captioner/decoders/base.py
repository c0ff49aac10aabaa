"""What all decoders share: their interface, standardised features and words left out."""

from __future__ import annotations

import abc
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from captioner.vocabulary import UNKNOWN

# Tensors in tuples, nested as a decoder likes; the leading axis of each is the batch.
State = tuple[Any, ...]

# Steps between neighbouring float16 numbers, relative to them: less spread than that is rounding.
_FLOAT16_STEP = 2.0**-10


class Decoder(keras.Model, abc.ABC):
    """A network from an image's features and the words so far to the next word.

    Subclasses implement `begin` and `advance`. Within these, features arrive as they were
    extracted: `cells` standardises them. No token changes the logits of an earlier place, so
    padding after a caption never matters.

    Args:
        feature_shape: of one image's features, (channels,) or (rows, columns, channels).
        word_dropout: the share of words that are read as the unknown word while training. It
            makes the network look at the picture instead of guessing from the words before.

    Attributes:
        attends: whether it can tell where it looks, by `attend`.
    """

    attends = False

    def __init__(self, feature_shape: tuple[int, ...], word_dropout: float) -> None:
        super().__init__()
        self.feature_shape = feature_shape
        self.cell_count = math.prod(feature_shape[:-1])
        self.standardise = Standardise()
        self.drop_words = WordDropout(word_dropout)

    @abc.abstractmethod
    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """What to know before the first word.

        Args:
            features: [batch, *feature_shape].
            length: how many words will be read, at most, by one `advance` after another; None
                where a single one reads them all.

        Returns:
            The memory, which every step reads and none changes, and the first state.
        """

    @abc.abstractmethod
    def advance(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """Read some words more.

        Args:
            memory: from `begin`.
            state: from `begin` or the last `advance`. It may have several rows for each of the
                memory's, one after another: the rows are then hypotheses of the same image.
            tokens: int32 [rows, length].

        Returns:
            The logits of the word after each, float32 [rows, length, vocabulary], and the state
            after the last.
        """

    def attend(self, memory: State, state: State, tokens: Any) -> Any:
        """Where it looks for the word after each.

        Args:
            memory, state: from `begin`, without a length.
            tokens: int32 [rows, length].

        Returns:
            float32 [rows, length, cells]: the weights of the places, whose sum is 1; the mean over
            the heads of the attention, and of several layers that of the last.
        """
        raise NotImplementedError

    @property
    @abc.abstractmethod
    def last(self) -> keras.layers.Layer:
        """The layer of whose weights the logits are a linear function."""

    def sharpen(self, temperature: float) -> None:
        """Make it surer of its words, as search does by a temperature below 1, for good."""
        for weight in self.last.weights:
            weight.assign(weight / temperature)

    def call(self, inputs: dict[str, Any]) -> Any:
        """The logits of every next word of whole captions.

        Args:
            inputs: "features", [batch, *feature_shape], and "tokens", int32 [batch, captions,
                length]: some captions of each image, which is looked at once for all of them.

        Returns:
            float32 [batch, captions, length, vocabulary].
        """
        tokens = self.drop_words(inputs["tokens"])
        _, captions, length = ops.shape(tokens)
        memory, state = self.begin(inputs["features"])
        state = keras.tree.map_structure(lambda value: ops.repeat(value, captions, axis=0), state)
        logits, _ = self.advance(memory, state, ops.reshape(tokens, (-1, length)))
        return ops.reshape(logits, (-1, captions, length, logits.shape[-1]))

    def step(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """Read one word more: `tokens` is int32 [rows], the logits are [rows, vocabulary]."""
        logits, state = self.advance(memory, state, tokens[:, None])
        return logits[:, 0], state

    def cells(self, features: Any) -> Any:
        """Standardised features as a list of places: [batch, cells, channels]."""
        standardised = self.standardise(features)
        return ops.reshape(standardised, (-1, self.cell_count, standardised.shape[-1]))


class Standardise(keras.layers.Layer):
    """Features minus the training set's mean, over its standard deviation, for each channel.

    A channel without spread, up to the rounding of float16, is only centred.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the statistics, which are weights, but not trained."""
        shape = (input_shape[-1],)
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape, "ones", trainable=False, name="deviation")

    def set_statistics(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Take the statistics of the training features, each [channels]."""
        spread = variance > (_FLOAT16_STEP * mean) ** 2
        self.mean.assign(mean)
        self.deviation.assign(np.sqrt(np.where(spread, variance, 1.0)))

    def call(self, features: Any) -> Any:
        """Features of any leading axes, the channels last."""
        return (features - self.mean) / self.deviation


class WordDropout(keras.layers.Layer):
    """Reads a random share of the words as the unknown word; only while training.

    What a caption begins with, the start or its language, is always read.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.seeds = keras.random.SeedGenerator()

    def call(self, tokens: Any, training: bool = False) -> Any:
        """Tokens [..., length]; those that stand for no word stay as they are."""
        if not training or not self.rate:
            return tokens
        dropped = keras.random.uniform(ops.shape(tokens), seed=self.seeds) < self.rate
        word = ops.logical_and(tokens > UNKNOWN, ops.arange(ops.shape(tokens)[-1]) > 0)
        return ops.where(ops.logical_and(dropped, word), UNKNOWN, tokens)
