"""Fit a decoder to extracted features and their captions."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import Progress

from captioner import decoders, storage
from captioner.decoders import Decoder
from captioner.errors import UserError
from captioner.model import Captioner, Description
from captioner.records import FeatureDataset
from captioner.training import distribution, examples, pictures
from captioner.training.distribution import Distribution
from captioner.training.fitting import AdamW, Fitter
from captioner.training.progress import EpochLog, bar
from captioner.vocabulary import Vocabulary

__all__ = ["TrainingOptions", "TrainingResult", "train"]


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Args:
        decoder: a key of `decoders.DECODERS`.
        dropout, word_dropout: see the decoders.
        settings: the decoder's other settings, by name.
        epochs: passes over the training captions. The learning rate falls to 0 over them all.
        patience: epochs without a better development loss after which to stop; 0 for never.
        batch_size: images a step, over all devices, with up to `examples.CAPTIONS_AT_ONCE`
            captions each.
        learning_rate: of the first step; it falls as a cosine.
        weight_decay: share of the learning rate by which weights shrink each step.
        clip_norm: the largest norm of a step's whole gradient.
        label_smoothing: see `loss.word_losses`.
        min_count: how often a word must occur in the training captions to be in the vocabulary.
        max_length: the most tokens of a caption, start and end among them; the rest is cut off.
        seed: of weights, dropout and the order of images.
    """

    decoder: str = "attention"
    dropout: float = 0.0
    word_dropout: float = 0.0
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 12
    patience: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    min_count: int = 4
    max_length: int = 40
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How training went.

    Attributes:
        history: one dictionary an epoch: epoch (from 1), loss, development_loss (where there are
            development captions) and seconds.
        best_epoch: the one whose weights were kept.
        captions: how many were trained on, once an epoch.
        vocabulary_size: how many token ids there are.
    """

    history: list[dict[str, float]]
    best_epoch: int
    captions: int
    vocabulary_size: int

    def __str__(self) -> str:
        best = ", ".join(
            f"{name.replace('_', ' ')} {self.history[self.best_epoch - 1][name]:.3f}"
            for name in ("loss", "development_loss")
            if name in self.history[0]
        )
        return (
            f"{self.captions:,} captions of {self.vocabulary_size:,} words, "
            f"best epoch {self.best_epoch} of {len(self.history)}: {best}"
        )


def train(
    features: str,
    model: str,
    options: TrainingOptions | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    console: Console | None = None,
    strategy: str = "one",
) -> TrainingResult | None:
    """Train a captioner and save it, with its history and curves.

    A model that was trained on the same features with the same options is left as it is.

    Args:
        features: directory of a feature dataset.
        model: directory for the model.
        options: how to train.
        on_epoch: told each epoch's part of the history.
        console: where progress is shown: a bar on a terminal, else a line an epoch.
        strategy: on what devices; see `distribution`. It doesn't change what is learned.

    Returns:
        How training went. Where several workers train, their chief alone returns it, writes
        anything, and shows anything; the others return None when it has written the model.

    Raises:
        UserError: there is nothing to train on, or `model` can't be written; before training. Or
            another worker is no longer there.
    """
    options = options or TrainingOptions()
    devices = distribution.create(strategy)
    if not devices.chief:
        on_epoch, console = None, Console(quiet=True)
    with devices.together():
        result = _train(features, model, options, devices, on_epoch, console)
        devices.agree(True)  # the others wait until the model is there
    return result if devices.chief else None


def _train(
    features: str,
    model: str,
    options: TrainingOptions,
    devices: Distribution,
    on_epoch: Callable[[dict[str, float]], None] | None,
    console: Console | None,
) -> TrainingResult | None:
    dataset = FeatureDataset.load(features)
    before = _trained_before(model, dataset, options) if devices.chief else None
    if devices.agree(before is not None):
        (console or Console()).print("trained before, on the same features in the same way")
        return before
    _check(dataset, model, devices)
    keras.utils.set_random_seed(options.seed)
    with bar(console) as progress:
        material = _prepare(dataset, options, devices, progress)
        log = EpochLog(progress, material.steps, options.epochs, on_epoch)
        _fit(material, options, devices, log)
    words = len(material.batches.vocabulary)
    result = TrainingResult(log.history, log.best_epoch, material.caption_count, words)
    if devices.chief:
        _save(model, dataset, options, devices, material, result)
    return result


@dataclasses.dataclass(frozen=True)
class _Material:
    """All that fitting needs."""

    decoder: Decoder
    batches: examples.Batches
    training: Any  # as of `Distribution.batches`
    development: Any | None
    caption_count: int
    steps: int  # an epoch


def _trained_before(
    model: str, dataset: FeatureDataset, options: TrainingOptions
) -> TrainingResult | None:
    """The result of an earlier training that this one would repeat, if there is a whole one."""
    try:
        captioner = Captioner.load(model, encoder=False)
        history = json.loads(storage.read_bytes(storage.join(model, "history.json")))
    except (UserError, OSError):
        return None
    training = captioner.description.training
    same_data = training["data"]["fingerprint"] == dataset.fingerprint
    if not history or not same_data or training["options"] != dataclasses.asdict(options):
        return None
    best, words = training["best_epoch"]["epoch"], len(captioner.vocabulary)
    return TrainingResult(history, best, training["captions"], words)


def _check(dataset: FeatureDataset, model: str, devices: Distribution) -> None:
    if not dataset.counts.get("train"):
        raise UserError(
            f"{dataset.directory}: no training images; extract the features with captions "
            "and splits"
        )
    if not devices.chief:
        return
    try:
        storage.create(storage.join(model, "history.json"), b"[]\n")
    except OSError as error:
        raise UserError(f"{model}: the model can't be written there: {error}") from error


def _prepare(
    dataset: FeatureDataset, options: TrainingOptions, devices: Distribution, progress: Progress
) -> _Material:
    """Look through the training images, and make the decoder and its input."""
    records = examples.read(dataset, "train", options.seed)
    shown = progress.track(
        records.as_numpy_iterator(), dataset.counts["train"], description="reading features"
    )
    survey = examples.survey(shown, dataset.feature_shape[-1])
    vocabulary = Vocabulary.build(itertools.chain(*survey.captions), options.min_count)
    token_counts = [
        [len(vocabulary.encode(caption)) for caption in captions] for captions in survey.captions
    ]
    worded = sum(count > 2 for counts in token_counts for count in counts)  # than start and end
    if not worded:
        raise UserError(f"{dataset.directory}: the training images have no captions")
    longest = np.array([max(counts) for counts in token_counts if counts])
    lengths = examples.length_classes(longest, options.max_length)
    batches = examples.Batches(vocabulary, lengths, options.batch_size)
    with devices.strategy.scope():
        decoder = _describe(dataset, options, {}).create_decoder(vocabulary)
        decoder.standardise.set_statistics(survey.mean, survey.variance)
    steps = batches.steps(survey.captions)
    training = batches.of(records, examples.shuffled_images(dataset), options.seed)
    # The fall of the learning rate counts on it.
    training = training.apply(tf.data.experimental.assert_cardinality(steps))
    training = devices.batches(training, options.batch_size)
    development = None
    if dataset.counts.get("dev"):
        development = batches.of(examples.read(dataset, "dev", options.seed))
        development = devices.batches(development, options.batch_size)
    return _Material(decoder, batches, training, development, worded, steps)


def _fit(
    material: _Material, options: TrainingOptions, devices: Distribution, log: EpochLog
) -> None:
    """Train the decoder; it ends with the weights of the best epoch."""
    steps = options.epochs * material.steps
    with devices.strategy.scope():
        optimizer = AdamW(
            keras.optimizers.schedules.CosineDecay(options.learning_rate, steps),
            weight_decay=options.weight_decay,
            global_clipnorm=options.clip_norm,
        )
    fitter = Fitter(material.decoder, optimizer, options.label_smoothing, devices.strategy)
    fitter.fit(material.training, material.development, options.epochs, options.patience, log)


def _describe(
    dataset: FeatureDataset, options: TrainingOptions, training: dict[str, Any]
) -> Description:
    rates = {"dropout": options.dropout, "word_dropout": options.word_dropout}
    return Description(
        decoder=options.decoder,
        settings=decoders.all_settings(options.decoder, **rates, **options.settings),
        encoder=dataset.encoder,
        feature_shape=dataset.feature_shape,
        training=training,
    )


def _save(
    model: str,
    dataset: FeatureDataset,
    options: TrainingOptions,
    devices: Distribution,
    material: _Material,
    result: TrainingResult,
) -> None:
    training = {
        "data": {"fingerprint": dataset.fingerprint, "images": dataset.counts},
        "captions": result.captions,
        "options": dataclasses.asdict(options),
        "devices": {"strategy": devices.name, "replicas": devices.replicas},
        "best_epoch": result.history[result.best_epoch - 1],
    }
    description = _describe(dataset, options, training)
    vocabulary = material.batches.vocabulary
    Captioner(description, material.decoder, vocabulary, dataset.encoder_weights).save(model)
    history = json.dumps(result.history, indent=1) + "\n"
    storage.replace(storage.join(model, "history.json"), history.encode())
    storage.replace(storage.join(model, "curves.png"), pictures.curves(result.history))
    network = pictures.network(material.decoder)
    if network:
        storage.replace(storage.join(model, "model.png"), network)
