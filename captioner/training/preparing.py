"""From features and options to what is trained and what it is trained on."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.progress import Progress as Bar

from captioner import decoders
from captioner.decoders import Decoder
from captioner.encoders import Encoder
from captioner.errors import UserError
from captioner.model.trained import Description, Trained
from captioner.training.distribution import Distribution
from captioner.training.end_to_end import EndToEnd
from captioner.training.examples import Batches
from captioner.training.fitting import Passes
from captioner.training.measuring import Measure
from captioner.training.options import TrainingOptions
from captioner.training.self_critical import Rewards, SampledBatches, Sampler
from captioner.training.sources import Images, Source
from captioner.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Material:
    """All that fitting needs.

    Attributes:
        description: of the model, without how it was trained.
        decoder: the caption network.
        network: what is trained: the decoder, or an encoder with it.
        vocabulary: of its tokens.
        passes: what to go over.
        captions: how many there are in the training split.
        steps: an epoch.
    """

    description: Description
    decoder: Decoder
    network: Decoder
    vocabulary: Vocabulary
    passes: Passes
    captions: int
    steps: int


def prepare(
    source: Source,
    options: TrainingOptions,
    devices: Distribution,
    start: Trained | None,
    bar: Bar,
    from_layer: str | None = None,
) -> Material:
    """Look through the training images, and make the network and its input.

    Args:
        source: what to train on.
        options: how to train.
        devices: what to train on.
        start: the model to start from, if any. Its encoder learns too if it has one.
        bar: shows how far the look is.
        from_layer: the first of the encoder's layers that learn; all of them where it is empty.

    Raises:
        UserError: the training images have no captions.
    """
    found = source.train.survey(
        lambda records: bar.track(records, source.counts["train"], description="reading features")
    )
    vocabulary = start.vocabulary if start else found.vocabulary(options.min_count)
    captions = sum(_has_words(vocabulary, pair) for pair in itertools.chain(*found.captions))
    if not captions:
        raise UserError(f"{source.name}: the training images have no captions")
    batches = Batches.suiting(
        vocabulary, found.captions, source.shape, options.batch_size, options.max_length
    )
    description = _describe(source, options, start)
    with devices.strategy.scope(), _computing_in(options.precision):
        decoder = network = description.create_decoder(vocabulary)
        if start:
            _go_on(decoder, start, options)
        else:
            decoder.standardise.set_statistics(found.mean, found.variance)
        if start and from_layer is not None:
            encoder = Encoder.load(source.encoder, source.encoder_weights)
            network = EndToEnd(encoder, decoder, from_layer)
    if options.self_critical:
        steps = -(-source.counts["train"] // options.batch_size)
        training = _sampled(source.train, network, vocabulary, options)
    else:
        steps = batches.steps(found.captions)
        training = _written(source.train, batches, options, devices)
    passes = _passes(source, options, devices, batches, network, training)
    return Material(description, decoder, network, vocabulary, passes, captions, steps)


def _has_words(vocabulary: Vocabulary, caption: tuple[str, str]) -> bool:
    """Whether there is more of a caption, in its language, than start and end."""
    return len(vocabulary.encode(*caption)) > 2


def _go_on(decoder: Decoder, start: Trained, options: TrainingOptions) -> None:
    """Begin with what an earlier training has learned."""
    decoder.set_weights(start.decoder.get_weights())
    if options.self_critical:
        decoder.sharpen(options.temperature)


def _describe(source: Source, options: TrainingOptions, start: Trained | None) -> Description:
    rates = {"dropout": options.dropout, "word_dropout": options.word_dropout}
    if start:
        settings = {**start.description.settings, **rates}
        return dataclasses.replace(start.description, settings=settings, training={})
    return Description(
        decoder=options.decoder,
        settings=decoders.all_settings(options.decoder, **options.settings, **rates),
        encoder=source.encoder,
        feature_shape=source.shape,
        training={},
    )


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Layers made in here compute in the precision, with weights of float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _passes(
    source: Source,
    options: TrainingOptions,
    devices: Distribution,
    batches: Batches,
    network: Decoder,
    training: Callable[[int, int], Any],
) -> Passes:
    figure = ("reward", "examples") if options.self_critical else ("loss", "words")
    if not source.counts.get("dev"):
        return Passes(training, None, None, *figure)
    images = source.dev.in_order()
    development = devices.batches(batches.of(images), batches.size)
    by_captions = options.keep_by == "cider_d"
    measure = Measure(network, batches.vocabulary, images) if by_captions else None
    return Passes(training, development, measure, *figure)


def _written(
    images: Images, batches: Batches, options: TrainingOptions, devices: Distribution
) -> Callable[[int, int], Any]:
    """People's captions, an epoch at a time."""

    def epoch(number: int, first_step: int) -> Any:
        seed = _seed(options, number)
        shuffled = batches.of(images.shuffled(seed), seed)
        return devices.batches(shuffled.skip(first_step), batches.size)

    return epoch


def _sampled(
    images: Images, network: Decoder, vocabulary: Vocabulary, options: TrainingOptions
) -> Callable[[int, int], Any]:
    """The network's own captions, an epoch at a time."""
    rewards = Rewards(images, vocabulary)
    draw = Sampler(network, vocabulary, options.samples, options.max_length - 1)

    def epoch(number: int, first_step: int) -> Any:
        order = images.shuffled(_seed(options, number))
        order = order.map(lambda record: {name: record[name] for name in ("id", "features")})
        batched = order.batch(options.batch_size).skip(first_step).prefetch(tf.data.AUTOTUNE)
        return SampledBatches(batched, draw, rewards, _seed(options, number), first_step)

    return epoch


def _seed(options: TrainingOptions, epoch: int) -> int:
    """Another one for each epoch of each seed."""
    return int(np.random.SeedSequence((options.seed, epoch)).generate_state(1)[0])
