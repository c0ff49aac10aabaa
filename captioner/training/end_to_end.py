"""Encoder and decoder as one network, to be trained together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from captioner.decoders import Decoder, State
from captioner.encoders import Encoder
from captioner.errors import UserError


class EndToEnd(Decoder):
    """A decoder of pixels: what it decodes goes through an encoder first.

    The encoder's batch norms keep their statistics: those of small batches would be worse.

    Args:
        encoder: its network learns too.
        decoder: of its features.
        from_layer: the first of the encoder's layers to learn; all of them without.

    Raises:
        UserError: the encoder has no such layer.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, from_layer: str = "") -> None:
        super().__init__(tuple(encoder.network.input.shape[1:]), word_dropout=0.0)
        self.encoder = encoder.network
        self.decoder = decoder
        self.drop_words = decoder.drop_words
        self.built = True  # as its parts are
        _freeze(encoder, from_layer)

    @property
    def last(self) -> keras.layers.Layer:
        """See `Decoder.last`."""
        return self.decoder.last

    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """See `Decoder.begin`; the features are pixels, uint8 [batch, size, size, 3]."""
        return self.decoder.begin(self.encoder(features), length)

    def advance(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """See `Decoder.advance`."""
        return self.decoder.advance(memory, state, tokens)


def _freeze(encoder: Encoder, from_layer: str) -> None:
    """Let what is before `from_layer`, and all statistics, be as they are."""
    layers = list(_layers(encoder.network))
    names = [layer.name for layer in layers]
    if from_layer and from_layer not in names:
        raise UserError(f"the encoder ({encoder.spec}) has no layer called '{from_layer}'")
    first = names.index(from_layer) if from_layer else 0
    for place, layer in enumerate(layers):
        frozen = place < first or isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not frozen


def _layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Those of networks within it, too, instead of these."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
