"""What captions may not be, as a mask over the next word."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from captioner.vocabulary import END, PADDING, START, UNKNOWN


@dataclasses.dataclass(frozen=True)
class Constraints:
    """What captions may not be. Where no word may follow, a caption ends, be it too short.

    Args:
        forbidden: token ids that are never said, beside padding, start and unknown.
        min_length: the fewest words.
        no_repeat_ngram: so many words in a row never come twice; 0 for no such rule.
    """

    forbidden: tuple[int, ...] = ()
    min_length: int = 0
    no_repeat_ngram: int = 0

    def allowed(self, tokens: Any, index: Any, vocabulary_size: int) -> Any:
        """What may come next.

        Args:
            tokens: int32 [rows, length], captions that are still open.
            index: int32 [], how many words they have.
            vocabulary_size: how many token ids there are.

        Returns:
            bool [rows, vocabulary].
        """
        ids = np.arange(vocabulary_size)
        never = np.isin(ids, (PADDING, START, UNKNOWN, *self.forbidden))
        too_early = ops.logical_and(ids == END, index < self.min_length)
        refused = ops.logical_or(never, too_early)[None]
        if self.no_repeat_ngram:
            refused = ops.logical_or(refused, self._repeats(tokens, index, vocabulary_size))
        nothing = ops.all(refused, axis=-1, keepdims=True)
        return ops.logical_or(ops.logical_not(refused), ops.logical_and(nothing, ids == END))

    def _repeats(self, tokens: Any, index: Any, vocabulary_size: int) -> Any:
        """What would end an n-gram that is there already: bool [rows, vocabulary]."""
        rows, length = ops.shape(tokens)
        place = ops.arange(length, dtype="int32")
        ended = ops.logical_and(place >= self.no_repeat_ngram - 1, place < index)
        ended = ops.broadcast_to(ended, (rows, length))
        for back in range(1, self.no_repeat_ngram):
            latest = ops.take(tokens, ops.maximum(index - back, 0), axis=1)
            same = ops.roll(tokens, back, axis=1) == latest[:, None]
            ended = ops.logical_and(ended, same)
        row = ops.repeat(ops.arange(rows, dtype="int32"), length)
        places = ops.stack([row, ops.reshape(tokens, (-1,))], axis=-1)
        counts = ops.cast(ops.reshape(ended, (-1,)), "int32")
        return ops.scatter(places, counts, (rows, vocabulary_size)) > 0
