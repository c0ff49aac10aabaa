"""From features to captions: one batched loop in the graph, for any decoder."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from captioner.decoders import Decoder, State
from captioner.vocabulary import END, PADDING, START, UNKNOWN


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """How captions are searched for; see `beam_search`."""

    width: int = 5
    max_length: int = 30
    length_penalty: float = 0.7


class _Beams(NamedTuple):
    """The hypotheses of each image, best first: images x width are the rows of the decoder."""

    index: Any  # int32 [], words so far
    last: Any  # int32 [batch, width], the word read last
    log_probability: Any  # float32 [batch, width], -inf where there is no hypothesis
    tokens: Any  # int32 [batch * width, max_length]
    state: State  # of the decoder


def beam_search(
    decoder: Decoder, features: Any, *, width: int, max_length: int, length_penalty: float
) -> tuple[Any, Any]:
    """The most probable captions that beam search finds.

    In each step every hypothesis is extended by every word, and the `width` best go on. They are
    ranked by log-probability over ((5 + length) / 6) ** length_penalty (Wu et al., "Google's
    neural machine translation system", 2016, equation 14, without coverage), the end counting as
    a word. A hypothesis that has ended stays in its place, and all stop when every one has ended.

    Args:
        decoder: what knows the next word's logits.
        features: [batch, *feature_shape].
        width: how many hypotheses are kept for each image; 1 is greedy search.
        max_length: the most tokens of a caption, its end among them if it comes by then.
        length_penalty: 0 ranks by log-probability alone; more favours longer captions.

    Returns:
        Tokens, int32 [batch, width, max_length], best first: words, then the end, then padding;
        never start or unknown. And their log-probabilities, float32 [batch, width]: -inf where
        there are fewer than `width` captions, whose tokens are then all padding.
    """
    memory, state = decoder.begin(features, max_length)
    batch = ops.shape(features)[0]

    def advance(*beams: Any) -> _Beams:
        return _advance(decoder, memory, _Beams(*beams), length_penalty)

    def going_on(*beams: Any) -> Any:
        return ops.any(_open(_Beams(*beams)))

    first = np.full((1, width), -np.inf, "float32")
    first[0, 0] = 0  # one hypothesis, or all would stay the same
    start = _Beams(
        index=ops.zeros((), "int32"),
        last=ops.full((batch, width), START, "int32"),
        log_probability=ops.tile(first, (batch, 1)),
        tokens=ops.full((batch * width, max_length), PADDING, "int32"),
        state=keras.tree.map_structure(lambda value: ops.repeat(value, width, axis=0), state),
    )
    found = _Beams(*ops.while_loop(going_on, advance, start, maximum_iterations=max_length))
    tokens = ops.reshape(found.tokens, (batch, width, max_length))
    exists = ops.isfinite(found.log_probability)
    return ops.where(exists[..., None], tokens, PADDING), found.log_probability


def _advance(decoder: Decoder, memory: State, beams: _Beams, length_penalty: float) -> _Beams:
    """Extend every hypothesis by every word and keep the best."""
    batch, width = ops.shape(beams.last)
    logits, state = decoder.step(memory, beams.state, ops.reshape(beams.last, (-1,)))
    logits = ops.reshape(logits, (batch, width, logits.shape[-1]))
    extended = beams.log_probability[..., None] + _log_probability(logits, _open(beams))
    scores = extended / _penalty(beams, length_penalty)[..., None]
    chosen = ops.top_k(ops.reshape(scores, (batch, -1)), width)[1]
    words = ops.cast(chosen % logits.shape[-1], "int32")
    rows = ops.reshape(chosen // logits.shape[-1] + width * ops.arange(batch)[:, None], (-1,))
    tokens, state = keras.tree.map_structure(
        lambda value: ops.take(value, rows, axis=0), (beams.tokens, state)
    )
    here = ops.arange(tokens.shape[1]) == beams.index
    return _Beams(
        index=beams.index + 1,
        last=words,
        log_probability=ops.take_along_axis(ops.reshape(extended, (batch, -1)), chosen, axis=1),
        tokens=ops.where(here, ops.reshape(words, (-1, 1)), tokens),
        state=state,
    )


def _open(beams: _Beams) -> Any:
    """Which hypotheses can go on: bool [batch, width]."""
    ended = ops.logical_or(beams.last == END, beams.last == PADDING)
    return ops.logical_and(ops.logical_not(ended), ops.isfinite(beams.log_probability))


def _log_probability(logits: Any, open: Any) -> Any:
    """Of each word: what has ended is followed by padding for certain, all else by a word."""
    ids = np.arange(logits.shape[-1])
    words = np.where(np.isin(ids, (PADDING, START, UNKNOWN)), -np.inf, 0).astype("float32")
    padding = np.where(ids == PADDING, 0, -np.inf).astype("float32")
    return ops.where(open[..., None], ops.log_softmax(logits) + words, padding)


def _penalty(beams: _Beams, length_penalty: float) -> Any:
    """What log-probabilities are divided by once every open hypothesis has a word more."""
    words = ops.sum(ops.cast(beams.tokens != PADDING, "float32"), axis=-1)
    length = ops.reshape(words, ops.shape(beams.last)) + ops.cast(_open(beams), "float32")
    return ((5 + length) / 6) ** length_penalty
