import dataclasses
import io
import json
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console

from captioner import training
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.training import TrainingOptions, examples
from captioner.training.examples import Batches
from captioner.training.loss import word_losses
from captioner.vocabulary import PADDING, START, Vocabulary
from tests import toy_features

OPTIONS = TrainingOptions(
    settings={"units": 8, "embedding": 8, "heads": 2},
    epochs=2,
    keep_by="loss",
    batch_size=8,
    min_count=1,
)
COUNTS = {"train": 24, "dev": 12}


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> str:
    directory = f"{tmp_path_factory.mktemp('features')}/features"
    toy_features.write(directory, COUNTS)
    return directory


def weights(model: str) -> list[np.ndarray]:
    return Captioner.load(model, encoder=False).decoder.get_weights()


@pytest.mark.parametrize("decoder", ["attention", "merge"])
def test_equal_seeds_give_equal_weights(features, tmp_path, decoder):
    options = dataclasses.replace(
        OPTIONS,
        decoder=decoder,
        settings={"units": 8, "embedding": 8},
        dropout=0.3,
        word_dropout=0.1,
    )
    for name in ("first", "second"):
        training.train(features, f"{tmp_path}/{name}", options)
    first, second = weights(f"{tmp_path}/first"), weights(f"{tmp_path}/second")
    assert all((mine == its).all() for mine, its in zip(first, second, strict=True))


def test_it_leaves_its_history_and_a_line_an_epoch(features, tmp_path):
    heard, shown = [], io.StringIO()
    result = training.train(
        features, f"{tmp_path}/model", OPTIONS, heard.append, Console(file=shown)
    )
    assert json.loads((tmp_path / "model" / "history.json").read_text()) == heard == result.history
    assert [entry["epoch"] for entry in heard] == [1, 2]
    assert len(shown.getvalue().splitlines()) == 2
    assert (result.captions, result.best_epoch) == (48, 2)
    assert "48 captions" in str(result)
    with Image.open(tmp_path / "model" / "curves.png") as curves:
        assert curves.width > curves.height > 100
    assert (tmp_path / "model" / "model.png").exists() == bool(_can_draw_networks())


def _can_draw_networks() -> bool:
    from keras.src.utils import model_visualization

    return model_visualization.check_pydot() and model_visualization.check_graphviz()


def test_on_a_terminal_there_is_a_bar(features, tmp_path):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True)
    training.train(features, f"{tmp_path}/model", OPTIONS, console=console)
    assert "reading features" in shown.getvalue()
    assert "24/24" in shown.getvalue()


def test_the_best_epochs_weights_are_kept(tmp_path):
    features = f"{tmp_path}/features"
    toy_features.write(features, COUNTS, misleading=True)
    options = dataclasses.replace(
        OPTIONS, epochs=12, batch_size=4, learning_rate=0.05, schedule="constant"
    )
    result = training.train(features, f"{tmp_path}/model", options)
    losses = [entry["development_loss"] for entry in result.history]
    assert losses[result.best_epoch - 1] == min(losses) < losses[-1]
    captioner = Captioner.load(f"{tmp_path}/model", encoder=False)
    records = training.FeatureDataset.load(features).records("dev")
    # All of one length and in one batch, the mean over batches is the mean over words.
    ((inputs, following, weights),) = Batches(captioner.vocabulary, (8,), 12).of(records)
    words = word_losses(following, captioner.decoder(inputs), options.label_smoothing)
    loss = np.average(words, weights=weights)
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_words_are_hidden_while_training_and_only_then(features, tmp_path):
    # With steps that change nothing, what differs is what the network was shown.
    losses = []
    for hidden in (0.0, 1.0):
        options = dataclasses.replace(OPTIONS, epochs=1, word_dropout=hidden, learning_rate=1e-12)
        losses.append(training.train(features, f"{tmp_path}/{hidden}", options).history[0])
    shown, unseen = losses
    assert abs(shown["loss"] - unseen["loss"]) > 1e-5
    assert shown["development_loss"] == pytest.approx(unseen["development_loss"], abs=1e-6)


def test_a_training_is_not_repeated_but_a_changed_one_is_done(features, tmp_path, capsys):
    first = training.train(features, f"{tmp_path}/model", OPTIONS)
    before = weights(f"{tmp_path}/model")
    capsys.readouterr()
    assert training.train(features, f"{tmp_path}/model", OPTIONS) == first
    assert "trained before" in capsys.readouterr().out
    changed = dataclasses.replace(OPTIONS, seed=1)
    training.train(features, f"{tmp_path}/model", changed)
    assert "epoch 1/2" in capsys.readouterr().out
    after = weights(f"{tmp_path}/model")
    assert any((one != other).any() for one, other in zip(before, after, strict=True))


def test_without_a_development_split_the_training_loss_decides(tmp_path):
    toy_features.write(f"{tmp_path}/features", {"train": 12})
    result = training.train(f"{tmp_path}/features", f"{tmp_path}/model", OPTIONS)
    assert "development_loss" not in result.history[0]
    assert Captioner.load(f"{tmp_path}/model").caption_features(np.zeros((1, 32)))


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_caption_comes_once_an_epoch_in_another_order(features, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(examples, "_MEMORY_BYTES", 500)
    dataset = training.FeatureDataset.load(features)
    images = examples.Images(dataset, "train")
    survey = examples.survey(images.in_order().as_numpy_iterator(), 32)
    texts = [text for captions in survey.captions for text, _ in captions]
    vocabulary = survey.vocabulary(min_count=1)
    batches = Batches(vocabulary, (5, 8), 7)
    epochs = []
    for seed in (0, 1, 0):
        steps = list(batches.of(images.shuffled(seed)).as_numpy_iterator())
        rows = [row for inputs, _, _ in steps for rows in inputs["tokens"] for row in rows]
        epochs.append([vocabulary.decode(row) for row in rows if row[0] == START])
        assert len(steps) == batches.steps(survey.captions)
    expected = Counter(vocabulary.decode(vocabulary.encode(text)) for text in texts)
    assert Counter(epochs[0]) == Counter(epochs[1]) == expected
    assert epochs[0] != epochs[1]
    assert epochs[0] == epochs[2]


def test_a_caption_stays_with_its_image(features):
    dataset = training.FeatureDataset.load(features)
    vocabulary = Vocabulary.build(toy_features.THINGS + toy_features.COLOURS, 1)
    shuffled = examples.Images(dataset, "train").shuffled(0)
    for inputs, following, mask in Batches(vocabulary, (5, 8), 16).of(shuffled).as_numpy_iterator():
        assert inputs["features"].dtype == np.float16
        assert (inputs["tokens"][..., 1:] == following[..., :-1]).all()
        assert (mask == (following != PADDING)).all()
        for rows, values in zip(following, inputs["features"], strict=True):
            thing = toy_features.THINGS[values[:4].argmax()]
            told = [vocabulary.decode(row).split() for row in rows if row.any()]
            assert len(told) == 2 and all(thing in words for words in told)


def test_an_image_with_many_captions_comes_several_times():
    vocabulary = Vocabulary.build(["a dog"], 1)
    records = tf.data.Dataset.from_tensors(
        {"features": [1.0], "captions": ["a dog"] * 7 + ["..."], "languages": [""] * 8}
    )
    batches = Batches(vocabulary, (4,), 8)
    ((inputs, _, weights),) = batches.of(records).as_numpy_iterator()
    assert inputs["tokens"].shape == (2, 5, 3)
    assert weights.sum(axis=-1).tolist() == [[3] * 5, [3, 3, 0, 0, 0]]
    assert batches.steps([[("a dog", "")] * 7]) == 1


def test_captions_are_padded_to_few_lengths_and_cut_at_the_longest():
    counts = np.array([4] * 10 + [5] * 10 + [8] * 10 + [50] * 10)
    assert examples.length_classes(counts, 40) == (4, 5, 8, 40)
    assert examples.length_classes(np.array([6, 6, 6]), 40) == (6,)


@pytest.mark.parametrize("shape", [(32,), (2, 3, 32)])
def test_the_survey_tells_each_channels_mean_and_variance(tmp_path, shape):
    dataset = toy_features.write(f"{tmp_path}/features", {"train": 9}, shape)
    records = list(dataset.records("train").as_numpy_iterator())
    cells = np.concatenate([record["features"].reshape(-1, 32) for record in records])
    survey = examples.survey(records, 32)
    assert survey.mean == pytest.approx(cells.astype(np.float64).mean(0))
    assert survey.variance == pytest.approx(cells.astype(np.float64).var(0))
    assert len(survey.captions) == 9


def test_the_loss_is_cross_entropy_with_smoothed_labels():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, 3, 5)).astype(np.float32)
    tokens = generator.integers(0, 5, (2, 3)).astype(np.int32)
    reference = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2, reduction=None
    )
    expected = np.array(reference(keras.ops.one_hot(tokens, 5), logits))
    assert np.array(word_losses(tokens, logits, 0.2)) == pytest.approx(expected, rel=1e-5)


def test_where_no_features_are_the_user_is_told(tmp_path):
    with pytest.raises(UserError, match="captioner extract"):
        training.train(f"{tmp_path}/nothing", f"{tmp_path}/model")


@pytest.mark.parametrize(
    ("counts", "captioned", "message"),
    [({"dev": 4}, True, "no training images"), ({"train": 4}, False, "no captions")],
)
def test_nothing_to_train_on_is_a_users_mistake(tmp_path, counts, captioned, message):
    toy_features.write(f"{tmp_path}/features", counts, captioned=captioned)
    with pytest.raises(UserError, match=message):
        training.train(f"{tmp_path}/features", f"{tmp_path}/model", OPTIONS)
    assert not (tmp_path / "model" / "model.json").exists()


def test_an_output_that_cant_be_written_is_a_users_mistake(features, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="can't be written"):
        training.train(features, f"{tmp_path}/file/model", OPTIONS)


def test_training_that_diverges_says_so(features, tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=3, learning_rate=1e38)
    with pytest.raises(UserError, match="lower learning rate"):
        training.train(features, f"{tmp_path}/model", options)
