"""Where a decoder looks for each word of a caption that was found."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from captioner.decoders import Decoder
from captioner.errors import UserError
from captioner.search.ensemble import AnyDecoder, members
from captioner.vocabulary import START


class AttentionMaps(keras.Model):
    """Where decoders look, from a second reading of whole captions; of several, their mean.

    Args:
        decoder: which reads the captions.
        start: the token that captions begin with.

    Raises:
        UserError: it looks at no places, or knows but one.
    """

    def __init__(self, decoder: AnyDecoder, start: int = START) -> None:
        super().__init__()
        self.decoders = members(decoder)
        self.start = start
        for member in self.decoders:
            _check(member)

    def call(self, inputs: dict[str, Any]) -> Any:
        """The weights of the places for each word, whose sum is 1.

        Args:
            inputs: "features", [batch, *feature_shape], and "tokens", int32 [batch, length], a
                caption of each image, without the start.

        Returns:
            float32 [batch, length, rows, columns]; after a caption's end they mean nothing.
        """
        tokens = ops.pad(inputs["tokens"][:, :-1], ((0, 0), (1, 0)), constant_values=self.start)
        maps = [self._of(decoder, inputs["features"], tokens) for decoder in self.decoders]
        shape = (*ops.shape(tokens), *self.decoders[0].feature_shape[:-1])
        return ops.reshape(ops.mean(ops.stack(maps), axis=0), shape)

    def _of(self, decoder: Decoder, features: Any, tokens: Any) -> Any:
        memory, state = decoder.begin(features)
        return decoder.attend(memory, state, tokens)


def _check(decoder: Decoder) -> None:
    if not decoder.attends:
        raise UserError(
            "this model's decoder, merge, sees the picture as a whole: attention needs one trained "
            "with --decoder attention or transformer"
        )
    if decoder.cell_count == 1:
        raise UserError(
            "this model was trained on pooled features, which have no places: attention needs "
            "features extracted with --features grid"
        )
