"""What a step changes: the loss, the optimizer's ways, and how large the step is."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from captioner import decoders
from captioner.errors import UserError
from captioner.training import TrainingOptions, distribution, learners
from captioner.training.learners import AdamW, Learner
from captioner.training.loss import word_losses
from captioner.training.schedules import learning_rate

WORDS = 9
# Longer gradients than `clip_norm`, and weights that shrink.
STEP = {"learning_rate": 0.01, "weight_decay": 0.1, "global_clipnorm": 0.1}


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.float32, (2, 3, 5), elements=st.floats(-200, 200, width=32)),
    arrays.arrays(np.int32, (2, 3), elements=st.integers(0, 4)),
    st.floats(0, 0.5),
)
def test_the_loss_is_cross_entropy_with_smoothed_labels(logits, tokens, smoothing) -> None:
    reference = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    wanted = keras.ops.one_hot(tokens, 5)
    watched = tf.constant(logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(watched)
        expected = reference(wanted, watched) * [1.0, 0.5, -2.0]
        found = word_losses(tokens, watched, smoothing) * [1.0, 0.5, -2.0]
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-5, abs=1e-4)
    gradient = tape.gradient(expected, watched)
    assert np.array(tape.gradient(found, watched)) == pytest.approx(np.array(gradient), abs=1e-5)


def create_learner(**optimizer: Any) -> Learner:
    """One that learns the same as any other with the same optimizer."""
    keras.utils.set_random_seed(0)
    decoder = decoders.create("merge", WORDS, (4,), dropout=0.0, units=8, embedding=8)
    make_optimizer = functools.partial(AdamW, **STEP, **optimizer)
    return learners.create(decoder, make_optimizer, 0.1, distribution.create("one"))


def batches(images: int, size: int) -> Any:
    """So many images, of as many words each, by `size`."""
    generator = np.random.default_rng(1)
    features = generator.normal(size=(images, 4)).astype(np.float16)
    tokens = generator.integers(4, WORDS, (images, 5, 6)).astype(np.int32)
    inputs = {"features": features, "tokens": tokens[..., :-1]}
    ones = np.ones((images, 5, 5), np.float32)
    rows = tf.data.Dataset.from_tensor_slices((inputs, tokens[..., 1:], ones))
    return distribution.create("one").batches(rows.batch(size), size)


def learned(learner: Learner, batches: Any) -> list[list[np.ndarray]]:
    """The weights after each step."""
    return [learner.network.get_weights() for _ in learner.over(batches, learn=True)]


def assert_close(some: list[np.ndarray], others: list[np.ndarray], within: float) -> None:
    for one, other in zip(some, others, strict=True):
        assert one == pytest.approx(other, abs=within)


def test_accumulated_batches_make_the_step_of_one_that_joins_them() -> None:
    accumulating = create_learner(gradient_accumulation_steps=2)
    first = accumulating.network.get_weights()
    parts = learned(accumulating, batches(images=8, size=2))
    whole = learned(create_learner(), batches(images=8, size=4))
    assert_close(parts[0], first, 0.0)
    assert_close(parts[1], whole[0], 1e-5)
    assert_close(parts[2], parts[1], 0.0)
    assert_close(parts[3], whole[1], 1e-5)
    assert np.abs(whole[1][-1] - first[-1]).max() > 1e-3


def test_the_average_is_of_the_weights_after_each_step() -> None:
    learner = create_learner(use_ema=True, ema_momentum=0.7)
    network = learner.network
    average, *latest = learned(learner, batches(images=8, size=2))
    for weights in latest:
        average = [0.7 * old + 0.3 * new for old, new in zip(average, weights, strict=True)]
    with learner.averaged():
        assert_close(network.get_weights(), average, 1e-6)
        assert np.abs(average[-1] - latest[-1][-1]).max() > 1e-3
    assert_close(network.get_weights(), latest[-1], 0.0)


SCHEDULES = st.builds(
    TrainingOptions,
    learning_rate=st.floats(1e-6, 1.0),
    warmup=st.floats(0.0, 1.0),
    schedule=st.sampled_from(["cosine", "constant"]),
)


@settings(deadline=None, max_examples=50)
@given(SCHEDULES, st.integers(1, 10_000), st.floats(0, 1))
def test_the_learning_rate_rises_and_then_falls_or_stays(
    options: TrainingOptions, steps: int, place: float
) -> None:
    rate = learning_rate(options, steps)
    rising = int(options.warmup * steps)
    step = int(place * steps)
    found, following = float(rate(step)), float(rate(step + 1))
    highest = pytest.approx(options.learning_rate, rel=1e-4)
    if step < rising:
        assert found == pytest.approx(options.learning_rate * step / rising, rel=1e-4)
    elif options.schedule == "constant" or step == rising:
        assert found == highest
    else:
        assert 0 <= following <= found <= options.learning_rate
    if options.schedule == "cosine" and rising < steps:
        half = (rising + steps) // 2
        assert float(rate(steps)) == pytest.approx(0, abs=1e-6 * options.learning_rate)
        assert float(rate(half)) >= options.learning_rate / 2 - 1e-6


def test_a_schedule_that_is_none_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="no schedule is called 'linear'"):
        learning_rate(TrainingOptions(schedule="linear"), 10)
