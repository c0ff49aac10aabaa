"""Training as a whole: features in, a model and what is told of it out."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from captioner import cli, training
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.model.trained import Trained
from captioner.records import FeatureDataset
from captioner.training import TrainingResult
from tests import toy_features, toy_training
from tests.toy_training import weights

OPTIONS = dataclasses.replace(
    toy_training.OPTIONS, epochs=2, keep_by="loss", dropout=0.3, word_dropout=0.1
)


@dataclasses.dataclass(frozen=True)
class Training:
    """One with `OPTIONS`: what it told as it went, showed and returned."""

    model: Path
    heard: list[dict[str, float]]
    shown: str
    result: TrainingResult


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> str:
    return toy_training.write_features(tmp_path_factory)


@pytest.fixture(scope="module")
def trained(features, tmp_path_factory) -> Training:
    model = tmp_path_factory.mktemp("trained") / "model"
    heard, shown = [], io.StringIO()
    result = training.train(features, str(model), OPTIONS, heard.append, Console(file=shown))
    return Training(model, heard, shown.getvalue(), result)


def differ(one: str | Path, other: str | Path) -> bool:
    return not toy_training.are_equal(weights(one), weights(other))


def test_it_leaves_its_history_and_a_line_an_epoch(trained):
    history = json.loads((trained.model / "history.json").read_text())
    assert history == trained.heard == trained.result.history
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert len(trained.shown.splitlines()) == 2
    assert (trained.result.captions, trained.result.best_epoch) == (48, 2)
    assert "48 captions" in str(trained.result)
    assert not (trained.model / "checkpoint.npz").exists()
    with Image.open(trained.model / "curves.png") as curves:
        assert curves.width > curves.height > 100
    assert (trained.model / "model.png").exists() == bool(_can_draw_networks())


def _can_draw_networks() -> bool:
    from keras.src.utils import model_visualization

    return model_visualization.check_pydot() and model_visualization.check_graphviz()


def test_equal_seeds_give_equal_weights_and_on_a_terminal_there_is_a_bar(
    features, trained, tmp_path
):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True)
    training.train(features, f"{tmp_path}/model", OPTIONS, console=console)
    assert "reading features" in shown.getvalue()
    assert "24/24" in shown.getvalue()
    assert toy_training.history(f"{tmp_path}/model") == toy_training.history(trained.model)
    assert not differ(f"{tmp_path}/model", trained.model)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["merge", "transformer"])
def test_equal_seeds_give_equal_weights_of_any_decoder(features, tmp_path, decoder):
    sizes = toy_training.SIZES[decoder]
    options = dataclasses.replace(OPTIONS, decoder=decoder, settings=sizes)
    for name in ("first", "second"):
        training.train(features, f"{tmp_path}/{name}", options)
    assert not differ(f"{tmp_path}/first", f"{tmp_path}/second")


def test_a_training_is_not_repeated_but_a_changed_one_is_done(features, trained, tmp_path, capsys):
    model = f"{tmp_path}/model"
    shutil.copytree(trained.model, model)
    assert training.train(features, model, OPTIONS) == trained.result
    assert "trained before" in capsys.readouterr().out
    training.train(features, model, dataclasses.replace(OPTIONS, seed=1))
    assert "epoch 1/2" in capsys.readouterr().out
    assert differ(model, trained.model)


def test_words_are_hidden_while_training_and_only_then(features, trained, tmp_path):
    # With steps that change nothing, what differs is what the network was shown.
    still = dataclasses.replace(
        OPTIONS, start=str(trained.model), epochs=1, dropout=0.0, learning_rate=1e-12
    )
    losses = []
    for hidden in (0.0, 1.0):
        options = dataclasses.replace(still, word_dropout=hidden)
        losses.append(training.train(features, f"{tmp_path}/{hidden}", options).history[0])
    shown, unseen = losses
    assert abs(shown["loss"] - unseen["loss"]) > 1e-3
    assert shown["development_loss"] == pytest.approx(unseen["development_loss"], abs=1e-6)


def test_the_average_of_the_weights_is_what_is_measured_and_kept(features, trained, tmp_path):
    options = dataclasses.replace(OPTIONS, averaging=0.8)
    result = training.train(features, f"{tmp_path}/model", options)
    for mine, its in zip(result.history, trained.result.history, strict=True):
        assert mine["loss"] == its["loss"]  # it learns the same
        assert abs(mine["development_loss"] - its["development_loss"]) > 1e-3
    assert differ(f"{tmp_path}/model", trained.model)


def test_half_precision_is_for_what_is_computed_and_not_for_weights(features, tmp_path):
    before = keras.config.dtype_policy()
    # Without dropout, which other numbers would draw otherwise.
    single = dataclasses.replace(OPTIONS, epochs=1, dropout=0.0, word_dropout=0.0)
    options = dataclasses.replace(single, precision="bfloat16")
    (expected,) = training.train(features, f"{tmp_path}/single", single).history
    (epoch,) = training.train(features, f"{tmp_path}/model", options).history
    for name in ("loss", "development_loss"):
        assert expected[name] != epoch[name] == pytest.approx(expected[name], rel=0.02)
    assert all(weight.dtype == np.float32 for weight in weights(f"{tmp_path}/model"))
    assert keras.config.dtype_policy() == before
    broken = dataclasses.replace(options, decoder="merge", settings={"units": -1})
    with pytest.raises(ValueError):
        training.train(features, f"{tmp_path}/broken", broken)
    assert keras.config.dtype_policy() == before


def test_a_model_goes_on_from_another_with_its_words_and_settings(features, trained, tmp_path):
    options = dataclasses.replace(
        OPTIONS, start=str(trained.model), epochs=1, decoder="merge", min_count=99, dropout=0.2
    )
    (epoch,) = training.train(features, f"{tmp_path}/model", options).history
    assert epoch["loss"] < trained.result.history[0]["loss"]
    mine, its = map(Trained.load, (f"{tmp_path}/model", str(trained.model)))
    assert mine.vocabulary.fingerprint == its.vocabulary.fingerprint
    assert mine.description.decoder == "attention"
    assert mine.description.settings == {**its.description.settings, "dropout": 0.2}


def test_it_does_not_go_on_with_features_of_another_encoder(features, trained, tmp_path):
    shutil.copytree(features, tmp_path / "features")
    dataset = FeatureDataset.load(f"{tmp_path}/features")
    encoder = dataclasses.replace(dataset.encoder, weights="others")
    dataclasses.replace(dataset, encoder=encoder).save()
    options = dataclasses.replace(OPTIONS, start=str(trained.model))
    with pytest.raises(UserError, match="another encoder"):
        training.train(dataset.directory, f"{tmp_path}/model", options)
    assert not (tmp_path / "model").exists()


def test_a_training_killed_before_it_wrote_its_history_is_not_done(features, trained, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    (model / "history.json").write_text('[{"epoch": 1, "loss": 2.0, "seconds": 1.0}]\n')
    assert training.train(features, str(model), OPTIONS).best_epoch == trained.result.best_epoch
    assert json.loads((model / "history.json").read_text())[0]["loss"] != 2.0


@pytest.mark.parametrize(
    "flags",
    ["--samples 1", "--max-length 1", "--seed -1", "--dropout 1", "--averaging nan", "--warmup 2",
     "--label-smoothing -.1", "--word-dropout 2", "--clip-norm 0", "--temperature 0"],
)  # fmt: skip
def test_what_nothing_can_be_trained_with_is_said(features, tmp_path, capsys, flags):
    output = tmp_path / "model"
    assert cli.main(["train", "--features", features, "--output", str(output), *flags.split()]) == 2
    error = capsys.readouterr().err
    assert flags.split()[0].removeprefix("--").replace("-", " ") + " is " in error
    assert "it must be" in error and not output.exists()


def test_without_a_development_split_the_training_loss_decides(tmp_path):
    toy_features.write(f"{tmp_path}/features", {"train": 12})
    options = dataclasses.replace(OPTIONS, keep_by="cider_d")
    result = training.train(f"{tmp_path}/features", f"{tmp_path}/model", options)
    assert result.history[0].keys() == {"epoch", "loss", "seconds"}
    assert result.best_epoch == 1 + np.argmin([entry["loss"] for entry in result.history])
    assert Captioner.load(f"{tmp_path}/model").caption_features(np.zeros((1, 32)))


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
