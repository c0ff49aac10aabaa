"""Fit a decoder to extracted features and their captions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Iterator

import keras
from rich.console import Console

from captioner import shards, storage
from captioner.encoders import Encoder, EncoderSpec, weights_fingerprint
from captioner.errors import UserError
from captioner.model.trained import Trained
from captioner.training import distribution, learners, pictures
from captioner.training.board import Board
from captioner.training.checkpoints import Checkpoints
from captioner.training.distribution import Distribution
from captioner.training.end_to_end import EndToEnd
from captioner.training.fitting import Fitter
from captioner.training.learners import AdamW
from captioner.training.options import TrainingOptions, TrainingResult
from captioner.training.pixels import Pictures
from captioner.training.preparing import Material, prepare
from captioner.training.progress import EpochLog, bar
from captioner.training.schedules import learning_rate
from captioner.training.sources import Source, of_features

__all__ = ["Pictures", "TrainingOptions", "TrainingResult", "train"]


def train(
    data: str | Pictures,
    model: str,
    options: TrainingOptions | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    console: Console | None = None,
    strategy: str = "one",
) -> TrainingResult | None:
    """Train a captioner and save it, with its history and curves.

    A model that was trained on the same data with the same options is left as it is. A training
    that was stopped goes on where it was, and ends with the weights it would have had.

    Args:
        data: directory of a feature dataset; or captioned images, on which a model goes on to
            learn, its encoder too.
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
    options = _with_rate(options or TrainingOptions(), data)
    devices = distribution.create(strategy)
    if not devices.chief:
        on_epoch, console = None, Console(quiet=True)
    with devices.together():
        result = _train(data, model, options, devices, on_epoch, console)
        devices.agree(True)  # the others wait until the model is there
    return result if devices.chief else None


def _with_rate(options: TrainingOptions, data: str | Pictures) -> TrainingOptions:
    if options.learning_rate is not None:
        return options
    usual = 5e-5 if options.self_critical else 1e-3
    rate = 1e-5 if isinstance(data, Pictures) else usual
    return dataclasses.replace(options, learning_rate=rate)


def _train(
    data: str | Pictures,
    model: str,
    options: TrainingOptions,
    devices: Distribution,
    on_epoch: Callable[[dict[str, float]], None] | None,
    console: Console | None,
) -> TrainingResult | None:
    if options.start and _same(options.start, model):
        raise UserError(f"{model}: it can't be both where to start and where the model goes")
    start = _load_start(options, needed=options.self_critical or isinstance(data, Pictures))
    source = _source(data, start)
    identity = _identity(source, options, start)
    checkpoints = Checkpoints(model, identity, devices.chief)
    before = _trained_before(model, identity) if devices.chief else None
    if devices.agree(before is not None):
        if checkpoints.load():  # of a process that was killed between the model and its removal
            checkpoints.remove()
        (console or Console()).print("trained before, on the same features in the same way")
        return before
    _check(source, model, options, devices)
    if devices.chief and storage.exists(storage.join(model, "model.json")):
        (console or Console()).print("the model there was trained otherwise, and is replaced")
    keras.utils.set_random_seed(options.seed)
    with bar(console) as progress:
        from_layer = data.from_layer if isinstance(data, Pictures) else None
        material = prepare(source, options, devices, start, progress, from_layer)
        log = EpochLog(progress, material.steps, options.epochs, on_epoch)
        board = Board(model, devices.chief)
        learner = _learner(material, options, devices)
        fitter = Fitter(learner, material.passes, checkpoints, log, board)
        fitter.fit(options.epochs, options.patience)
    result = TrainingResult(
        log.history, log.best_epoch, material.captions, len(material.vocabulary)
    )
    if devices.chief:
        _save(model, identity, source, options, devices, material, result)
        checkpoints.remove()
    return result


def _same(one: str, other: str) -> bool:
    one, other = (storage.absolute(uri).rstrip("/") for uri in (one, other))
    return one == other


def _load_start(options: TrainingOptions, needed: bool) -> Trained | None:
    if options.start:
        return Trained.load(options.start)
    if needed:
        raise UserError("this goes on from a trained model: give it with --start MODEL")
    return None


def _source(data: str | Pictures, start: Trained | None) -> Source:
    if isinstance(data, Pictures):
        return data.source(start.description.encoder, start.encoder_weights)
    source = of_features(data)
    if start:
        start.description.check_encoder(source.encoder)
    return source


def _identity(source: Source, options: TrainingOptions, start: Trained | None) -> str:
    """A hash of all that decides what is learned."""
    return shards.fingerprint(
        {
            "data": source.fingerprint,
            "options": {**dataclasses.asdict(options), "start": ""},
            "start": weights_fingerprint(start.decoder) if start else "",
        }
    )


def _trained_before(model: str, identity: str) -> TrainingResult | None:
    """The result of an earlier training that this one would repeat, if there is a whole one."""
    try:
        trained = Trained.load(model)
        history = json.loads(storage.read_bytes(storage.join(model, "history.json")))
    except (UserError, OSError):
        return None
    training = trained.description.training
    if not history or training["identity"] != identity:
        return None
    best, words = training["best_epoch"]["epoch"], len(trained.vocabulary)
    if history[best - 1 : best] != [training["best_epoch"]]:
        return None  # of another training: the process was killed before it wrote its own
    return TrainingResult(history, best, training["captions"], words)


def _check(source: Source, model: str, options: TrainingOptions, devices: Distribution) -> None:
    if not source.counts.get("train"):
        raise UserError(
            f"{source.name}: no training images; extract the features with captions and splits"
        )
    if options.self_critical and devices.name != "one":
        raise UserError("self-critical training runs on one device: --strategy one")
    if not devices.chief:
        return
    try:
        storage.create(storage.join(model, "history.json"), b"[]\n")
    except OSError as error:
        raise UserError(f"{model}: the model can't be written there: {error}") from error


def _learner(
    material: Material, options: TrainingOptions, devices: Distribution
) -> learners.Learner:
    steps = options.epochs * material.steps // options.accumulate
    make_optimizer = functools.partial(
        AdamW,
        learning_rate(options, steps),
        weight_decay=options.weight_decay,
        global_clipnorm=options.clip_norm,
        use_ema=options.averaging > 0,
        ema_momentum=options.averaging,
        gradient_accumulation_steps=options.accumulate if options.accumulate > 1 else None,
    )
    # Rewards take the place of people's words: there is nothing to smooth.
    smoothing = 0.0 if options.self_critical else options.label_smoothing
    return learners.create(material.network, make_optimizer, smoothing, devices)


def _save(
    model: str,
    identity: str,
    source: Source,
    options: TrainingOptions,
    devices: Distribution,
    material: Material,
    result: TrainingResult,
) -> None:
    training = {
        "identity": identity,
        "data": {"fingerprint": source.fingerprint, "images": source.counts},
        "captions": result.captions,
        "options": dataclasses.asdict(options),
        "devices": {"strategy": devices.name, "replicas": devices.replicas},
        "best_epoch": result.history[result.best_epoch - 1],
    }
    description = dataclasses.replace(material.description, training=training)
    with _encoder_weights(source, material) as (encoder, weights):
        description = dataclasses.replace(description, encoder=encoder)
        Trained(description, material.decoder, material.vocabulary, weights).save(model)
    history = json.dumps(result.history, indent=1) + "\n"
    storage.replace(storage.join(model, "history.json"), history.encode())
    storage.replace(storage.join(model, "curves.png"), pictures.curves(result.history))
    network = pictures.network(material.decoder)
    if network:
        storage.replace(storage.join(model, "model.png"), network)


@contextlib.contextmanager
def _encoder_weights(source: Source, material: Material) -> Iterator[tuple[EncoderSpec, str]]:
    """The encoder as it is after training, and a file of its weights."""
    if not isinstance(material.network, EndToEnd):
        yield source.encoder, source.encoder_weights
        return
    learned = material.network.encoder
    spec = dataclasses.replace(source.encoder, weights=weights_fingerprint(learned))
    with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
        file = storage.join(storage.absolute(directory), "encoder.weights.h5")
        Encoder(spec, learned).save_weights(file)
        yield spec, file
