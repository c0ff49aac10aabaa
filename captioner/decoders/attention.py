"""An LSTM that looks at the places of the picture for each word."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from captioner.decoders.base import Decoder, State
from captioner.decoders.heads import check_heads, mean_weights, split_heads
from captioner.decoders.places import Places


class AttentionDecoder(Decoder):
    """An LSTM over the words whose output asks the picture's places for the next word.

    A grid's places first see their neighbours, through a convolution. The LSTM starts from the
    mean over the places. Since what was seen doesn't go back into it, attention is one matrix
    product for a whole caption: multi-head attention as in Vaswani et al., "Attention is all you
    need" (2017), 3.2. Pooled features are a grid of one place.

    Args:
        units: width of the LSTM, of a place's key and value and of what joins both.
        embedding: width of a word's vector.
        heads: of the attention; a divisor of `units`.
        dropout: of the places, of the words' vectors and before the logits.
    """

    attends = True

    def __init__(
        self,
        vocabulary_size: int,
        feature_shape: tuple[int, ...],
        *,
        units: int = 512,
        embedding: int = 256,
        heads: int = 8,
        dropout: float = 0.5,
        word_dropout: float = 0.0,
    ) -> None:
        check_heads(units, heads)
        super().__init__(feature_shape, word_dropout)
        self.embedding = layers.Embedding(vocabulary_size, embedding)
        self.embedding_dropout = layers.Dropout(dropout)
        self.first_state = layers.Dense(2 * units, activation="tanh")
        self.lstm = layers.LSTM(units, return_sequences=True, return_state=True)
        self.places = Places(feature_shape, units, dropout)
        self.query = layers.Dense(units)
        self.key = layers.Dense(units)
        self.value = layers.Dense(units)
        self.heads = heads
        self.joined = layers.Dense(units, activation="tanh")
        self.joined_dropout = layers.Dropout(dropout)
        self.logits = layers.Dense(vocabulary_size)

    @property
    def last(self) -> layers.Layer:
        """See `Decoder.last`."""
        return self.logits

    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """See `Decoder.begin`. The memory holds each place's key and value."""
        places = self.places(self.cells(features))
        memory = self._split(self.key(places)), self._split(self.value(places))
        return memory, tuple(ops.split(self.first_state(ops.mean(places, axis=1)), 2, axis=-1))

    def advance(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """See `Decoder.advance`."""
        read, query, state = self._read(memory, state, tokens)
        seen = ops.reshape(ops.dot_product_attention(query, *memory), ops.shape(read))
        joined = self.joined(ops.concatenate([read, seen], axis=-1))
        logits = self.logits(self.joined_dropout(joined))
        return ops.cast(logits, "float32"), state

    def attend(self, memory: State, state: State, tokens: Any) -> Any:
        """See `Decoder.attend`."""
        _, query, _ = self._read(memory, state, tokens)
        return ops.reshape(mean_weights(query, memory[0]), (*ops.shape(tokens), self.cell_count))

    def _read(self, memory: State, state: State, tokens: Any) -> tuple[Any, Any, State]:
        """What is made of each word, what it asks the places, and the state after the last."""
        words = self.embedding_dropout(self.embedding(tokens))
        read, *state = self.lstm(words, initial_state=list(state))
        # Hypotheses of one image are further queries to the same places.
        query = ops.reshape(self.query(read), (ops.shape(memory[0])[0], -1, read.shape[-1]))
        return read, self._split(query), tuple(state)

    def _split(self, values: Any) -> Any:
        return split_heads(values, self.heads)
