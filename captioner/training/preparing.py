"""From features and options to what is trained and what it is trained on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.progress import Progress as Bar

from captioner import decoders
from captioner.decoders import Decoder
from captioner.errors import UserError
from captioner.model import Captioner, Description
from captioner.records import FeatureDataset
from captioner.training.distribution import Distribution
from captioner.training.examples import Batches, Images, length_classes, survey
from captioner.training.fitting import Passes
from captioner.training.measuring import Measure
from captioner.training.options import TrainingOptions
from captioner.training.self_critical import Rewards, SampledBatches, Sampler
from captioner.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Material:
    """All that fitting needs.

    Attributes:
        description: of the model, without how it was trained.
        decoder: to be trained.
        vocabulary: of its tokens.
        passes: what to go over.
        captions: how many there are in the training split.
        steps: an epoch.
    """

    description: Description
    decoder: Decoder
    vocabulary: Vocabulary
    passes: Passes
    captions: int
    steps: int


def prepare(
    dataset: FeatureDataset,
    options: TrainingOptions,
    devices: Distribution,
    start: Captioner | None,
    bar: Bar,
) -> Material:
    """Look through the training images, and make the decoder and its input.

    Args:
        dataset: the features.
        options: how to train.
        devices: what to train on.
        start: the model to start from, if any.
        bar: shows how far the look is.

    Raises:
        UserError: the training images have no captions.
    """
    images = Images(dataset, "train")
    seen = bar.track(
        images.in_order().as_numpy_iterator(),
        dataset.counts["train"],
        description="reading features",
    )
    found = survey(seen, dataset.feature_shape[-1])
    vocabulary = start.vocabulary if start else found.vocabulary(options.min_count)
    counts = [[len(vocabulary.encode(*pair)) for pair in pairs] for pairs in found.captions]
    worded = sum(count > 2 for each in counts for count in each)  # more than start and end
    if not worded:
        raise UserError(f"{dataset.directory}: the training images have no captions")
    longest = np.array([max(each) for each in counts if each])
    lengths = length_classes(longest, options.max_length)
    batches = Batches(vocabulary, lengths, options.batch_size)
    description = _describe(dataset, options, start)
    with devices.strategy.scope(), _computing_in(options.precision):
        decoder = description.create_decoder(vocabulary)
        if start:
            decoder.set_weights(start.decoder.get_weights())
        else:
            decoder.standardise.set_statistics(found.mean, found.variance)
    if options.self_critical:
        steps = -(-dataset.counts["train"] // options.batch_size)
        training = _sampled(images, decoder, vocabulary, options)
    else:
        steps = batches.steps(found.captions)
        training = _written(images, batches, options, devices)
    passes = _passes(dataset, options, devices, batches, decoder, training)
    return Material(description, decoder, vocabulary, passes, worded, steps)


def _describe(
    dataset: FeatureDataset, options: TrainingOptions, start: Captioner | None
) -> Description:
    rates = {"dropout": options.dropout, "word_dropout": options.word_dropout}
    name = start.description.decoder if start else options.decoder
    settings = start.description.settings if start else options.settings
    return Description(
        decoder=name,
        settings=decoders.all_settings(name, **{**settings, **rates}),
        encoder=dataset.encoder,
        feature_shape=dataset.feature_shape,
        training={},
    )


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Layers made in here compute in the precision, with weights of float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    yield
    keras.config.set_dtype_policy(before)


def _passes(
    dataset: FeatureDataset,
    options: TrainingOptions,
    devices: Distribution,
    batches: Batches,
    decoder: Decoder,
    training: Callable[[int, int], Any],
) -> Passes:
    figure = "reward" if options.self_critical else "loss"
    if not dataset.counts.get("dev"):
        return Passes(training, None, None, figure)
    images = Images(dataset, "dev")
    development = devices.batches(batches.of(images.in_order()), options.batch_size)
    measure = None
    if options.keep_by == "cider_d":
        measure = Measure(decoder, batches.vocabulary, images.in_order())
    return Passes(training, development, measure, figure)


def _written(
    images: Images, batches: Batches, options: TrainingOptions, devices: Distribution
) -> Callable[[int, int], Any]:
    """People's captions, an epoch at a time."""

    def epoch(number: int, first_step: int) -> Any:
        order = images.shuffled(_seed(options, number))
        return devices.batches(batches.of(order).skip(first_step), options.batch_size)

    return epoch


def _sampled(
    images: Images, decoder: Decoder, vocabulary: Vocabulary, options: TrainingOptions
) -> Callable[[int, int], Any]:
    """The decoder's own captions, an epoch at a time."""
    rewards = Rewards(images, vocabulary)
    draw = Sampler(decoder, vocabulary, options.samples, options.max_length - 1)

    def epoch(number: int, first_step: int) -> Any:
        order = images.shuffled(_seed(options, number))
        order = order.map(lambda record: {name: record[name] for name in ("id", "features")})
        batched = order.batch(options.batch_size).skip(first_step).prefetch(tf.data.AUTOTUNE)
        return SampledBatches(batched, draw, rewards, _seed(options, number), first_step)

    return epoch


def _seed(options: TrainingOptions, epoch: int) -> int:
    """Another one for each epoch of each seed."""
    return int(np.random.SeedSequence((options.seed, epoch)).generate_state(1)[0])
