"""The caption networks: an image's features and the words so far in, the next word's logits out."""

from __future__ import annotations

from typing import Any

import keras

from captioner.decoders.attention import AttentionDecoder
from captioner.decoders.base import Decoder, State
from captioner.decoders.merge import MergeDecoder
from captioner.decoders.transformer import TransformerDecoder
from captioner.errors import UserError

__all__ = ["DECODERS", "Decoder", "State", "all_settings", "create"]

DECODERS: dict[str, type[Decoder]] = {
    "attention": AttentionDecoder,
    "merge": MergeDecoder,
    "transformer": TransformerDecoder,
}


def create(
    name: str, vocabulary_size: int, feature_shape: tuple[int, ...], **settings: Any
) -> Decoder:
    """A decoder with fresh weights, drawn from Keras' global seed.

    Args:
        name: a key of `DECODERS`.
        vocabulary_size: how many token ids there are.
        feature_shape: of one image's features, (channels,) or (rows, columns, channels).
        settings: the decoder's own; see its class.

    Raises:
        UserError: no decoder has that name.
    """
    decoder = _class(name)(vocabulary_size, feature_shape, **settings)
    features = keras.ops.zeros((1, *feature_shape))
    decoder({"features": features, "tokens": keras.ops.zeros((1, 1, 1), "int32")})
    return decoder


def all_settings(name: str, **settings: Any) -> dict[str, Any]:
    """`settings` and the defaults of those that are not among them, to be kept with the weights.

    Raises:
        UserError: no decoder has that name, or not such a setting.
    """
    defaults = _class(name).__init__.__kwdefaults__
    unknown = ", ".join(settings.keys() - defaults.keys())
    if unknown:
        raise UserError(f"the decoder {name} takes no {unknown}; it takes: {', '.join(defaults)}")
    return {**defaults, **settings}


def _class(name: str) -> type[Decoder]:
    if name not in DECODERS:
        raise UserError(f"no decoder is called '{name}'; there are: {', '.join(DECODERS)}")
    return DECODERS[name]
