"""What is measured of each epoch, which epoch is kept for it, and where the figures go."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from captioner import scoring, training
from captioner.model import Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions
from captioner.training import TrainingResult
from captioner.training.board import Board
from captioner.training.examples import Batches
from captioner.training.loss import word_losses
from captioner.training.measuring import Sample
from tests import toy_features, toy_training


@dataclasses.dataclass(frozen=True)
class Trained:
    """A training, and what it showed."""

    features: str
    model: Path
    result: TrainingResult
    shown: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Until the captions are right, and on: they change between wordings that are as good."""
    features = toy_training.write_features(tmp_path_factory)
    model, shown = tmp_path_factory.mktemp("models") / "model", io.StringIO()
    options = dataclasses.replace(toy_training.OPTIONS, learning_rate=0.06, batch_size=4, epochs=13)
    result = training.train(features, str(model), options, console=Console(file=shown))
    return Trained(features, model, result, shown.getvalue())


def test_each_epoch_tells_losses_and_the_captions_score(trained: Trained) -> None:
    names = {"epoch", "loss", "development_loss", "cider_d", "seconds"}
    assert all(entry.keys() == names for entry in trained.result.history)
    lines = trained.shown.splitlines()
    for entry, line in zip(trained.result.history, lines, strict=True):
        told = f"loss {entry['loss']:.3f}, development loss {entry['development_loss']:.3f}, "
        assert line.startswith(f"epoch {entry['epoch']}/13: {told}CIDEr-D {entry['cider_d']:.3f}, ")


def test_the_epoch_with_the_best_captions_is_kept(trained: Trained) -> None:
    """Its figure is that of what the saved model says of the development images."""
    history, best = trained.result.history, trained.result.best_epoch
    figures = [entry["cider_d"] for entry in history]
    assert figures[best - 1] == max(figures) > figures[0]
    equal = [entry for entry in history if entry["cider_d"] == max(figures)]
    assert history[best - 1] == min(equal, key=lambda entry: entry["development_loss"])
    assert f"best epoch {best} of 13: " in str(trained.result)
    described = json.loads((trained.model / "model.json").read_text())
    assert described["training"]["best_epoch"] == history[best - 1]

    captioner = Captioner.load(str(trained.model), encoder=False, search=SearchOptions(width=1))
    encode = captioner.vocabulary.encode
    records = list(FeatureDataset.load(trained.features).records("dev").as_numpy_iterator())
    found = captioner.caption_features(np.stack([record["features"] for record in records]))
    captions = [encode(caption.text)[1:-1] for caption in found]
    references = [
        [encode(text.decode())[1:-1] for text in record["captions"]] for record in records
    ]
    assert max(figures) == pytest.approx(scoring.cider_d(captions, references), abs=1e-6)


def test_by_the_loss_the_best_epoch_is_kept_and_without_a_better_one_it_ends(tmp_path) -> None:
    features = f"{tmp_path}/features"
    dataset = toy_features.write(features, toy_training.COUNTS, misleading=True)
    options = dataclasses.replace(
        toy_training.OPTIONS, keep_by="loss", patience=2, epochs=20, batch_size=4
    )
    result = training.train(features, f"{tmp_path}/model", options)
    losses = [entry["development_loss"] for entry in result.history]
    assert "cider_d" not in result.history[0]
    assert losses[result.best_epoch - 1] == min(losses) < min(losses[0], losses[-1])
    assert len(losses) == result.best_epoch + 2 < 20

    captioner = Captioner.load(f"{tmp_path}/model", encoder=False)
    # Here in one batch, and in training in several: it is the mean over words.
    batches = Batches(captioner.vocabulary, (8,), 12).of(dataset.records("dev"))
    ((inputs, following, weights),) = batches
    words = word_losses(following, captioner.decoder(inputs), options.label_smoothing)
    assert np.average(words, weights=weights) == pytest.approx(min(losses), rel=1e-4)


def test_tensorboard_has_each_epochs_figures(trained: Trained) -> None:
    events = EventAccumulator(str(trained.model / "tensorboard"), {"tensors": 0})  # all of them
    events.Reload()
    told = set()
    for name in ("loss", "development_loss", "cider_d", "seconds"):
        scalars = [(tensor.step, _number(tensor)) for tensor in events.Tensors(name)]
        told.add(name)
        for entry, (step, value) in zip(trained.result.history, scalars, strict=True):
            assert (entry["epoch"], pytest.approx(entry[name], rel=1e-6)) == (step, value)
    assert set(events.Tags()["tensors"]) == {*told, "captions"}
    last = events.Tensors("captions")[-1].tensor_proto.string_val[0].decode()
    assert "`dev/0.png`" in last and toy_features.captions(0, 0)[0] in last


def _number(tensor) -> float:
    return float(tf.make_ndarray(tensor.tensor_proto))


def test_captions_are_shown_as_text_whatever_people_wrote(tmp_path) -> None:
    model = f"{tmp_path}/model"
    sample = Sample("<i>.png", "a dog & a cat", 'A <b>dog</b> <script>alert("x")</script>')
    Board(model, writes=False).tell({"epoch": 1, "loss": 2.0}, [sample])
    assert not (tmp_path / "model").exists()
    Board(model, writes=True).tell({"epoch": 3, "loss": 2.0}, [sample] * 100)
    events = EventAccumulator(f"{model}/tensorboard")
    events.Reload()
    (shown,) = events.Tensors("captions")
    text = shown.tensor_proto.string_val[0].decode()
    assert shown.step == 3
    assert "<" not in text and "&lt;b&gt;dog&lt;/b&gt;" in text and "a dog &amp; a cat" in text
    assert 1 < len(text.splitlines()) < 100
