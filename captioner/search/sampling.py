"""Captions drawn at random, word by word, as probable as the model thinks them."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from captioner.decoders import State
from captioner.search.constraints import Constraints
from captioner.search.ensemble import AnyDecoder
from captioner.vocabulary import END, PADDING, START


class _Samples(NamedTuple):
    """What was drawn so far: images x samples are the rows."""

    index: Any  # int32 [], words so far
    last: Any  # int32 [rows], the word read last
    log_probability: Any  # float32 [rows]
    tokens: Any  # int32 [rows, max_length]
    state: State  # of the decoder


def sample(
    decoder: AnyDecoder,
    features: Any,
    *,
    count: int,
    max_length: int,
    seed: Any,
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
        count: how many captions to draw for each image, each by itself.
        max_length: the most tokens of a caption, its end among them if it comes by then.
        seed: a `keras.random.SeedGenerator`, or integers, [2], which may be a tensor.
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
    shape = (ops.shape(features)[0], count, max_length)
    generator = seed if isinstance(seed, keras.random.SeedGenerator) else _Seed(seed)
    uniforms = keras.random.uniform(shape, seed=generator)
    return sample_by(
        decoder,
        features,
        uniforms,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        constraints=constraints,
        start=start,
    )


def sample_by(
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
    """As `sample`, from random numbers that were drawn before.

    Args:
        uniforms: float32 [batch, count, max_length], from 0 and below 1: a word is drawn by each.
    """
    batch, count, max_length = ops.shape(uniforms)
    rows = batch * count
    memory, state = decoder.begin(features, max_length)
    numbers = ops.reshape(uniforms, (rows, max_length))
    constraints = constraints or Constraints()

    def advance(*samples: Any) -> _Samples:
        drawn = _Samples(*samples)
        logits, after = decoder.step(memory, drawn.state, drawn.last)
        allowed = constraints.allowed(drawn.tokens, drawn.index, logits.shape[-1])
        scores = ops.where(allowed, logits / temperature, -float("inf"))
        words = _draw(scores, ops.take(numbers, drawn.index, axis=1), top_k, top_p)
        return _extend(drawn, words, ops.log_softmax(logits), after)

    def going_on(*samples: Any) -> Any:
        return ops.any(_open(_Samples(*samples)))

    first = _Samples(
        index=ops.zeros((), "int32"),
        last=ops.full((rows,), start, "int32"),
        log_probability=ops.zeros((rows,), "float32"),
        tokens=ops.full((rows, max_length), PADDING, "int32"),
        state=keras.tree.map_structure(lambda value: ops.repeat(value, count, axis=0), state),
    )
    drawn = _Samples(*ops.while_loop(going_on, advance, first, maximum_iterations=max_length))
    tokens = ops.reshape(drawn.tokens, (batch, count, max_length))
    return tokens, ops.reshape(drawn.log_probability, (batch, count))


class _Seed(keras.random.SeedGenerator):
    """A seed that may be a tensor, which Keras' functions take from a generator alone."""

    def __init__(self, seed: Any) -> None:
        self._seed = ops.cast(seed, "uint32")

    def next(self, ordered: bool = True) -> Any:
        return self._seed


def _open(samples: _Samples) -> Any:
    """Which can go on: bool [rows]."""
    return ops.logical_and(samples.last != END, samples.last != PADDING)


def _extend(samples: _Samples, words: Any, log_probability: Any, state: State) -> _Samples:
    """The samples with a word more: what has ended gets padding."""
    words = ops.where(_open(samples), words, PADDING)
    gained = ops.take_along_axis(log_probability, words[:, None], axis=1)[:, 0]
    here = ops.arange(samples.tokens.shape[1]) == samples.index
    return _Samples(
        index=samples.index + 1,
        last=words,
        log_probability=samples.log_probability + ops.where(_open(samples), gained, 0.0),
        tokens=ops.where(here, words[:, None], samples.tokens),
        state=state,
    )


def _draw(scores: Any, numbers: Any, top_k: int, top_p: float) -> Any:
    """A word of each row, int32 [rows], by logits [rows, vocabulary] and numbers [rows]."""
    if not top_k and top_p == 1:
        return _place(ops.softmax(scores), numbers)
    size = scores.shape[-1]
    scores, ids = ops.top_k(scores, min(top_k or size, size))
    probability = ops.softmax(scores)
    before = ops.cumsum(probability, axis=-1) - probability
    place = _place(ops.where(before < top_p, probability, 0.0), numbers)
    return ops.cast(ops.take_along_axis(ids, place[:, None], axis=1)[:, 0], "int32")


def _place(probability: Any, numbers: Any) -> Any:
    """Where the sum of probabilities, which needn't be 1 in all, passes each number's share.

    It is never where the probability is 0, whichever way sums are rounded.
    """
    sums = ops.where(probability > 0, ops.cumsum(probability, axis=-1), 0.0)
    passed = sums > numbers[:, None] * ops.max(sums, axis=-1, keepdims=True)
    return ops.cast(ops.argmax(ops.cast(passed, "int32"), axis=-1), "int32")
