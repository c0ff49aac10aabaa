"""A transformer: each word looks at the words before it and at the places of the picture."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from captioner.decoders.base import Decoder, State
from captioner.decoders.heads import check_heads, mean_weights, split_heads
from captioner.decoders.places import Places


class TransformerDecoder(Decoder):
    """The decoder of Vaswani et al., "Attention is all you need" (2017), over the picture's places.

    Each layer normalises what goes into its parts rather than what comes out (Xiong et al., "On
    layer normalization in the transformer architecture", 2020), so that it needs no warm-up. The
    words' vectors are the logits' weights too (Press and Wolf, 2016). Pooled features are a grid
    of one place.

    Its memory is each layer's keys and values of the places. Its state is those of the words that
    were read, [rows, length, heads, units / heads], and their number, int32 [rows]; or nothing,
    where one `advance` reads all of them.

    Args:
        units: width of a word's vector; the layers' inner width is four times that.
        layers: how many there are.
        heads: of each attention; a divisor of `units`.
        dropout: of the places, of the words' vectors and of what each part of a layer adds.
    """

    attends = True

    def __init__(
        self,
        vocabulary_size: int,
        feature_shape: tuple[int, ...],
        *,
        units: int = 512,
        layers: int = 3,
        heads: int = 8,
        dropout: float = 0.1,
        word_dropout: float = 0.0,
    ) -> None:
        check_heads(units, heads)
        super().__init__(feature_shape, word_dropout)
        self.units = units
        self.embedding = keras.layers.ReversibleEmbedding(vocabulary_size, units)
        self.embedding_dropout = keras.layers.Dropout(dropout)
        self.places = Places(feature_shape, units, dropout)
        self.blocks = [Block(units, heads, dropout) for _ in range(layers)]
        self.norm = keras.layers.LayerNormalization()

    @property
    def last(self) -> keras.layers.Layer:
        """See `Decoder.last`."""
        return self.norm

    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """See `Decoder.begin`."""
        places = self.places(self.cells(features))
        memory = tuple(block.picture.remember(places) for block in self.blocks)
        if length is None:
            return memory, ()
        key = memory[0][0]
        rows = ops.shape(key)[0]
        nothing = ops.zeros((rows, length, *key.shape[2:]), key.dtype)
        return memory, (ops.zeros((rows,), "int32"), ((nothing, nothing),) * len(self.blocks))

    def advance(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """See `Decoder.advance`."""
        read, pasts = state or (ops.zeros_like(tokens[:, 0]), ((),) * len(self.blocks))
        words, positions = self._words(tokens, read)
        known = []
        for block, picture, past in zip(self.blocks, memory, pasts, strict=True):
            words, now = block(words, positions, picture, past)
            known.append(now)
        logits = ops.cast(self.embedding(self.norm(words), reverse=True), "float32")
        return logits, (read + ops.shape(tokens)[1], tuple(known)) if state else ()

    def attend(self, memory: State, state: State, tokens: Any) -> Any:
        """See `Decoder.attend`."""
        words, positions = self._words(tokens, ops.zeros_like(tokens[:, 0]))
        *others, last = self.blocks
        for block, picture in zip(others, memory[:-1], strict=True):
            words, _ = block(words, positions, picture, ())
        weights = last.look(words, positions, memory[-1])
        return ops.reshape(weights, (*ops.shape(tokens), self.cell_count))

    def _words(self, tokens: Any, read: Any) -> tuple[Any, Any]:
        """The vectors of words, [rows, count, units], and where they are, int32 [rows, count].

        Args:
            tokens: int32 [rows, count].
            read: int32 [rows], how many words were read before.
        """
        positions = read[:, None] + ops.arange(ops.shape(tokens)[1], dtype="int32")
        vectors = math.sqrt(self.units) * self.embedding(tokens)
        places = ops.cast(sinusoids(positions, self.units), vectors.dtype)
        return self.embedding_dropout(vectors + places), positions


class Block(keras.layers.Layer):
    """One layer of the transformer: attention to words, to the picture, and what follows of both.

    Args:
        units, heads, dropout: as of the decoder.
    """

    def __init__(self, units: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.words_norm = keras.layers.LayerNormalization()
        self.words = Attention(units, heads)
        self.picture_norm = keras.layers.LayerNormalization()
        self.picture = Attention(units, heads)
        self.inner_norm = keras.layers.LayerNormalization()
        self.inner = keras.layers.Dense(4 * units, activation="gelu")
        self.outer = keras.layers.Dense(units)
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, words: Any, positions: Any, picture: State, past: State) -> tuple[Any, State]:
        """Look from each word.

        Args:
            words: [rows, count, units].
            positions: int32 [rows, count], of these words in the caption.
            picture: keys and values of the places; hypotheses of one image share them.
            past: keys and values of the words before, zero where none was read yet; or nothing.

        Returns:
            What `words` become, and the keys and values of the words before and of these.
        """
        words, known = self._listen(words, positions, past)
        words += self.dropout(self.picture(self.picture_norm(words), picture))
        words += self.dropout(self.outer(self.inner(self.inner_norm(words))))
        return words, known

    def look(self, words: Any, positions: Any, picture: State) -> Any:
        """How much each word looks at each place; see `mean_weights`."""
        words, _ = self._listen(words, positions, ())
        return self.picture.look(self.picture_norm(words), picture)

    def _listen(self, words: Any, positions: Any, past: State) -> tuple[Any, State]:
        """The words after they looked at those before, and what is known of all of these."""
        normal = self.words_norm(words)
        known = now = self.words.remember(normal)
        if past:
            known = tuple(_keep(*pair, positions) for pair in zip(past, now, strict=True))
        before = positions[:, None, :, None] >= ops.arange(ops.shape(known[0])[1])
        return words + self.dropout(self.words(normal, known, before)), known


class Attention(keras.layers.Layer):
    """Multi-head attention in two parts: `remember` what is to be seen, and look at it.

    Args:
        units: width of the vectors that come in and go out.
        heads: a divisor of `units`.
    """

    def __init__(self, units: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = keras.layers.Dense(units)
        self.key = keras.layers.Dense(units)
        self.value = keras.layers.Dense(units)
        self.joined = keras.layers.Dense(units)

    def remember(self, values: Any) -> State:
        """Keys and values, [batch, length, heads, units / heads], of [batch, length, units]."""
        return tuple(split_heads(part(values), self.heads) for part in (self.key, self.value))

    def call(self, asking: Any, known: State, visible: Any = None) -> Any:
        """What is seen, [rows, count, units].

        Args:
            asking: [rows, count, units]. There may be several rows for each of what is known, one
                after another.
            known: from `remember`.
            visible: bool [rows, 1, count, length], what may be seen; all of it without.
        """
        seen = ops.dot_product_attention(self._ask(asking, known), *known, mask=visible)
        return self.joined(ops.reshape(seen, ops.shape(asking)))

    def look(self, asking: Any, known: State) -> Any:
        """How much is seen of what is known; see `mean_weights`."""
        return mean_weights(self._ask(asking, known), known[0])

    def _ask(self, asking: Any, known: State) -> Any:
        """The queries, [batch, count, heads, units / heads], with as many rows as are known."""
        batch = ops.shape(known[0])[0]
        query = ops.reshape(self.query(asking), (batch, -1, asking.shape[-1]))
        return split_heads(query, self.heads)


def sinusoids(positions: Any, units: int) -> Any:
    """Vectors that tell positions apart, float32 [..., units]: Vaswani et al., 3.5."""
    channel = np.arange(units)
    rate = 1e4 ** (-(channel // 2 * 2) / units)
    phase = channel % 2 * np.pi / 2  # a cosine is a sine begun earlier
    angles = ops.cast(positions, "float32")[..., None] * rate.astype("float32")
    return ops.sin(angles + phase.astype("float32"))


def _keep(past: Any, now: Any, positions: Any) -> Any:
    """What was known, [rows, length, heads, size], with what is now at `positions`, still zero."""
    slots = ops.cast(ops.arange(past.shape[1]) == positions[..., None], now.dtype)
    return past + ops.einsum("rcl,rchs->rlhs", slots, now)
