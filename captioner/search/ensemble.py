"""Several decoders as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from captioner.decoders import Decoder, State


class Ensemble(keras.layers.Layer):
    """Decoders that search together: a word's probability is the mean of what they give it.

    It is the arithmetic mean, as fairseq and OpenNMT have it: a distribution again, which the mean
    of log-probabilities is not.

    Args:
        decoders: of any kind, with the same tokens and features.
    """

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        super().__init__()
        self.decoders = list(decoders)
        self.built = True  # they are; it is never called

    def begin(self, features: Any, length: int | None = None) -> tuple[State, State]:
        """See `Decoder.begin`."""
        begun = (decoder.begin(features, length) for decoder in self.decoders)
        memories, states = zip(*begun, strict=True)
        return memories, states

    def step(self, memory: State, state: State, tokens: Any) -> tuple[Any, State]:
        """See `Decoder.step`."""
        parts = zip(self.decoders, memory, state, strict=True)
        logits, states = zip(
            *(decoder.step(*part, tokens) for decoder, *part in parts), strict=True
        )
        log_probability = ops.stack([ops.log_softmax(values) for values in logits])
        return ops.logsumexp(log_probability, axis=0) - math.log(len(logits)), states


AnyDecoder = Decoder | Ensemble


def members(decoder: AnyDecoder) -> list[Decoder]:
    """The decoders of an ensemble, or the one there is."""
    return decoder.decoders if isinstance(decoder, Ensemble) else [decoder]
