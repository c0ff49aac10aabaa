"""Beam search: the most probable captions."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from captioner.decoders import State
from captioner.search.constraints import Constraints
from captioner.search.ensemble import AnyDecoder
from captioner.search.growing import grow
from captioner.vocabulary import END, PADDING, START


class _Beams(NamedTuple):
    """The hypotheses of each image, best first: images x width are the rows of the decoder."""

    last: Any  # int32 [batch, width], the word read last
    log_probability: Any  # float32 [batch, width], -inf where there is no hypothesis
    tokens: Any  # int32 [batch * width, max_length]
    state: State  # of the decoder


def beam_search(
    decoder: AnyDecoder,
    features: Any,
    *,
    width: int,
    max_length: int,
    length_penalty: float,
    temperature: float = 1.0,
    constraints: Constraints | None = None,
    start: int = START,
) -> tuple[Any, Any]:
    """The most probable captions that beam search finds.

    In each step every hypothesis is extended by every word, and the `width` best go on. They are
    ranked by log-probability over ((5 + length) / 6) ** length_penalty (Wu et al., "Google's
    neural machine translation system", 2016, equation 14, without coverage), the end counting as
    a word. A hypothesis that has ended stays in its place, and an image's stop when every one has.

    Args:
        decoder: what knows the next word's logits.
        features: [batch, *feature_shape].
        width: how many hypotheses are kept for each image; 1 is greedy search.
        max_length: the most tokens of a caption, its end among them if it comes by then.
        length_penalty: 0 ranks by log-probability alone; more favours longer captions.
        temperature: what logits are divided by: below 1 makes a model surer of its words, which
            training with smoothed labels and dropout leaves unsure. Probabilities are then those
            of the model so changed.
        constraints: what captions may not be.
        start: the token that captions begin with.

    Returns:
        Tokens, int32 [batch, width, max_length], best first: words, then the end, then padding;
        never start or unknown. And their log-probabilities, float32 [batch, width]: -inf where
        there are fewer than `width` captions, whose tokens are then all padding.
    """
    memory, state = decoder.begin(features, max_length)
    batch = ops.shape(features)[0]
    constraints = constraints or Constraints()

    def advance(memory: State, index: Any, beams: _Beams) -> _Beams:
        return _advance(decoder, memory, index, beams, length_penalty, temperature, constraints)

    def is_open(beams: _Beams) -> Any:
        return ops.any(_open(beams), axis=1)

    first = np.full((1, width), -np.inf, "float32")
    first[0, 0] = 0  # one hypothesis, or all would stay the same
    beams = _Beams(
        last=ops.full((batch, width), start, "int32"),
        log_probability=ops.tile(first, (batch, 1)),
        tokens=ops.full((batch * width, max_length), PADDING, "int32"),
        state=keras.tree.map_structure(lambda value: ops.repeat(value, width, axis=0), state),
    )
    found = grow(advance, is_open, memory, beams, max_length)
    tokens = ops.reshape(found.tokens, (batch, width, max_length))
    exists = ops.isfinite(found.log_probability)
    return ops.where(exists[..., None], tokens, PADDING), found.log_probability


def scores(tokens: Any, log_probability: Any, length_penalty: float) -> Any:
    """What finished captions are ranked by.

    Args:
        tokens: int32 [..., length].
        log_probability: float32 [...].

    Returns:
        The same shape.
    """
    return log_probability / _penalty(_lengths(tokens), length_penalty)


def _advance(
    decoder: AnyDecoder,
    memory: State,
    index: Any,
    beams: _Beams,
    length_penalty: float,
    temperature: float,
    constraints: Constraints,
) -> _Beams:
    """Extend every hypothesis, of `index` words, by every word and keep the best."""
    batch, width = ops.shape(beams.last)
    logits, state = decoder.step(memory, beams.state, ops.reshape(beams.last, (-1,)))
    size = logits.shape[-1]
    allowed = constraints.allowed(beams.tokens, index, size)
    words = ops.where(allowed, ops.log_softmax(logits / temperature), -np.inf)
    words = _after_the_end(ops.reshape(words, (batch, width, size)), _open(beams))
    extended = beams.log_probability[..., None] + words
    penalty = _penalty(_next_lengths(beams), length_penalty)
    ranking = ops.reshape(extended / penalty[..., None], (batch, -1))
    chosen = ops.top_k(ranking, width)[1]
    rows = ops.reshape(chosen // size + width * ops.arange(batch)[:, None], (-1,))
    tokens, state = keras.tree.map_structure(
        lambda value: ops.take(value, rows, axis=0), (beams.tokens, state)
    )
    last = ops.cast(chosen % size, "int32")
    here = ops.arange(tokens.shape[1]) == index
    return _Beams(
        last=last,
        log_probability=ops.take_along_axis(ops.reshape(extended, (batch, -1)), chosen, axis=1),
        tokens=ops.where(here, ops.reshape(last, (-1, 1)), tokens),
        state=state,
    )


def _open(beams: _Beams) -> Any:
    """Which hypotheses can go on: bool [batch, width]."""
    ended = ops.logical_or(beams.last == END, beams.last == PADDING)
    return ops.logical_and(ops.logical_not(ended), ops.isfinite(beams.log_probability))


def _after_the_end(log_probability: Any, open: Any) -> Any:
    """Of each word: what has ended is followed by padding for certain."""
    padding = np.full(log_probability.shape[-1], -np.inf, "float32")
    padding[PADDING] = 0
    return ops.where(open[..., None], log_probability, padding)


def _next_lengths(beams: _Beams) -> Any:
    """The lengths once every open hypothesis has a word more: float32 [batch, width]."""
    lengths = ops.reshape(_lengths(beams.tokens), ops.shape(beams.last))
    return lengths + ops.cast(_open(beams), "float32")


def _lengths(tokens: Any) -> Any:
    return ops.sum(ops.cast(tokens != PADDING, "float32"), axis=-1)


def _penalty(lengths: Any, length_penalty: float) -> Any:
    return ((5 + lengths) / 6) ** length_penalty
