"""The merge network: picture and words meet only after the words were read."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from captioner.decoders.base import Decoder, State


class MergeDecoder(Decoder):
    """An LSTM reads the words alone; its output and the picture's vector are added.

    "merge-add" of Tanti, Gatt and Camilleri, "Where to put the image in an image caption
    generator" (2018). A grid of features is averaged over its places first.

    Args:
        units: width of the picture's vector, of the LSTM and of what follows them.
        embedding: width of a word's vector.
        dropout: of the picture's features and of the words' vectors.
    """

    def __init__(
        self,
        vocabulary_size: int,
        feature_shape: tuple[int, ...],
        *,
        units: int = 256,
        embedding: int = 256,
        dropout: float = 0.5,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(feature_shape, word_dropout)
        self.image_dropout = layers.Dropout(dropout)
        self.image = layers.Dense(units, activation="relu")
        self.embedding = layers.Embedding(vocabulary_size, embedding)
        self.embedding_dropout = layers.Dropout(dropout)
        self.lstm = layers.LSTM(units, return_sequences=True, return_state=True)
        self.merged = layers.Dense(units, activation="relu")
        self.logits = layers.Dense(vocabulary_size)

    @property
    def last(self) -> layers.Layer:
        """See `Decoder.last`."""
        return self.logits

    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """See `Decoder.begin`."""
        pooled = ops.mean(self.cells(features), axis=1)
        image = self.image(self.image_dropout(pooled))
        nothing = ops.zeros_like(image)
        return (image,), (nothing, nothing)

    def advance(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """See `Decoder.advance`."""
        (image,) = memory
        words = self.embedding_dropout(self.embedding(tokens))
        read, *state = self.lstm(words, initial_state=list(state))
        # Hypotheses of one image share its vector.
        by_image = ops.reshape(read, (ops.shape(image)[0], -1, read.shape[-1]))
        merged = self.merged(ops.reshape(image[:, None] + by_image, ops.shape(read)))
        return ops.cast(self.logits(merged), "float32"), tuple(state)
