"""Captions drawn at random, word by word, as probable as the model thinks them."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from captioner.decoders import State
from captioner.search.constraints import Constraints
from captioner.search.ensemble import AnyDecoder
from captioner.search.growing import grow
from captioner.vocabulary import END, PADDING, START


class _Samples(NamedTuple):
    """What was drawn so far: images x samples are the rows."""

    last: Any  # int32 [rows], the word read last
    log_probability: Any  # float32 [rows]
    tokens: Any  # int32 [rows, max_length]
    state: State  # of the decoder


def sample(
    decoder: AnyDecoder,
    features: Any,
    uniforms: Any,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    constraints: Constraints | None = None,
    start: int = START,
) -> tuple[Any, Any]:
    """Draw captions.

    Args:
        decoder: what knows the next word's logits.
        features: [batch, *feature_shape].
        uniforms: float32 [batch, count, max_length], random numbers from 0 and below 1: a word is
            drawn by each. Equal ones draw the same, on any backend and in any batch.
        temperature: what logits are divided by: less makes what is probable more so.
        top_k: how many of the next words, the most probable, may be drawn; 0 for all.
        top_p: of these, the most probable ones may be drawn that together have this probability
            (Holtzman et al., "The curious case of neural text degeneration", 2020).
        constraints: what captions may not be.
        start: the token that captions begin with.

    Returns:
        Tokens, int32 [batch, count, max_length]: words, then the end, then padding; never start or
        unknown. And their log-probabilities, float32 [batch, count], as `beam_search` has them: of
        the model as it is, whatever temperature, top-k, top-p and constraints made of it.
    """
    batch, count, max_length = ops.shape(uniforms)
    rows = batch * count
    memory, state = decoder.begin(features, max_length)
    numbers = ops.reshape(uniforms, (rows, max_length))
    constraints = constraints or Constraints()

    def advance(known: tuple[State, Any], index: Any, drawn: _Samples) -> _Samples:
        memory, numbers = known
        logits, after = decoder.step(memory, drawn.state, drawn.last)
        allowed = constraints.allowed(drawn.tokens, index, logits.shape[-1])
        scores = ops.where(allowed, logits / temperature, -float("inf"))
        words = _draw(scores, ops.take(numbers, index, axis=1), top_k, top_p)
        return _extend(drawn, index, words, ops.log_softmax(logits), after)

    def is_open(drawn: _Samples) -> Any:
        return ops.any(ops.reshape(_open(drawn), (-1, count)), axis=1)

    first = _Samples(
        last=ops.full((rows,), start, "int32"),
        log_probability=ops.zeros((rows,), "float32"),
        tokens=ops.full((rows, max_length), PADDING, "int32"),
        state=keras.tree.map_structure(lambda value: ops.repeat(value, count, axis=0), state),
    )
    drawn = grow(advance, is_open, (memory, numbers), first, max_length)
    tokens = ops.reshape(drawn.tokens, (batch, count, max_length))
    return tokens, ops.reshape(drawn.log_probability, (batch, count))


def _open(samples: _Samples) -> Any:
    """Which can go on: bool [rows]."""
    return ops.logical_and(samples.last != END, samples.last != PADDING)


def _extend(
    samples: _Samples, index: Any, words: Any, log_probability: Any, state: State
) -> _Samples:
    """The samples, of `index` words, with a word more: what has ended gets padding."""
    words = ops.where(_open(samples), words, PADDING)
    gained = ops.take_along_axis(log_probability, words[:, None], axis=1)[:, 0]
    here = ops.arange(samples.tokens.shape[1]) == index
    return _Samples(
        last=words,
        log_probability=samples.log_probability + ops.where(_open(samples), gained, 0.0),
        tokens=ops.where(here, words[:, None], samples.tokens),
        state=state,
    )


def _draw(scores: Any, numbers: Any, top_k: int, top_p: float) -> Any:
    """A word of each row, int32 [rows], by logits [rows, vocabulary] and numbers [rows]."""
    weights = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    if not top_k and top_p == 1:
        return _place(weights, numbers)
    size = weights.shape[-1]
    weights, ids = ops.top_k(weights, min(top_k or size, size))
    sums = ops.cumsum(weights, axis=-1)
    likely = sums - weights < top_p * sums[:, -1:]
    place = _place(ops.where(likely, weights, 0.0), numbers)
    return ops.cast(ops.take_along_axis(ids, place[:, None], axis=1)[:, 0], "int32")


def _place(weights: Any, numbers: Any) -> Any:
    """Where the sum of the weights passes each number's share of it all: int32 [rows].

    It is never where the weight is 0, whichever way sums are rounded.
    """
    sums = ops.where(weights > 0, ops.cumsum(weights, axis=-1), 0.0)
    passed = sums > numbers[:, None] * ops.max(sums, axis=-1, keepdims=True)
    return ops.cast(ops.argmax(ops.cast(passed, "int32"), axis=-1), "int32")
