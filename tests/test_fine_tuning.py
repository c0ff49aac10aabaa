"""A model that goes on to learn from images, its encoder with it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import cli, training
from captioner.encoders import Encoder
from captioner.errors import UserError
from captioner.model.trained import Trained
from captioner.training import Pictures, TrainingOptions
from captioner.training.pixels import PixelImages
from tests import toy_features

SIZE = 32
OPTIONS = TrainingOptions(
    settings={"units": 8, "embedding": 8, "heads": 2},
    epochs=1,
    keep_by="loss",
    batch_size=4,
    min_count=1,
)
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 128, 0)}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of one colour each; one of them is broken, and one is not there."""
    directory = tmp_path_factory.mktemp("pictures")
    lines = []
    for number in range(12):
        colour = list(COLOURS)[number % 3]
        name = f"{number}.png"
        Image.new("RGB", (40, 50), COLOURS[colour]).save(directory / name)
        split = "dev" if number > 8 else "train"
        captions = [f"a {colour} picture", f"it is {colour}"]
        lines.append(json.dumps({"image": name, "captions": captions, "split": split}))
    (directory / "0.png").write_bytes(b"no picture")
    (directory / "3.png").unlink()
    (directory / "captions.jsonl").write_text("\n".join(lines))
    return directory


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("start")
    toy_features.write(f"{directory}/features", {"train": 8})
    training.train(f"{directory}/features", f"{directory}/model", OPTIONS)
    return f"{directory}/model"


def pictures(collection: Path, **options: object) -> Pictures:
    return Pictures(str(collection), str(collection / "captions.jsonl"), **options)


def encoder_of(model: str) -> Encoder:
    trained = Trained.load(model)
    return Encoder.load(trained.description.encoder, trained.encoder_weights)


def test_the_encoder_learns_but_not_its_statistics(collection, start, tmp_path):
    options = dataclasses.replace(OPTIONS, start=start, learning_rate=0.01)
    result = training.train(pictures(collection), f"{tmp_path}/model", options)
    assert result.captions == 18
    assert set(result.history[0]) >= {"loss", "development_loss"}
    before, after = (
        [np.array(weight) for weight in encoder_of(model).network.weights]
        for model in (start, f"{tmp_path}/model")
    )
    names = [weight.path for weight in encoder_of(start).network.weights]
    changed = {
        name.rpartition("/")[2]
        for name, one, other in zip(names, before, after, strict=True)
        if (one != other).any()
    }
    assert "kernel" in changed
    assert not changed & {"moving_mean", "moving_variance", "gamma", "beta"}


def test_layers_before_the_first_that_learns_stay(collection, start, tmp_path):
    options = dataclasses.replace(OPTIONS, start=start, learning_rate=0.01)
    frozen = pictures(collection, from_layer="bn_Conv1")
    training.train(frozen, f"{tmp_path}/model", options)
    before, after = Trained.load(start), Trained.load(f"{tmp_path}/model")
    assert before.description.encoder == after.description.encoder
    assert any(
        (one != other).any()
        for one, other in zip(
            before.decoder.get_weights(), after.decoder.get_weights(), strict=True
        )
    )
    with pytest.raises(UserError, match="no layer called 'nowhere'"):
        training.train(pictures(collection, from_layer="nowhere"), f"{tmp_path}/no", options)


def test_the_command_trains_and_its_model_captions_images(collection, start, tmp_path, capsys):
    flags = ["--images", str(collection), "--captions", str(collection / "captions.jsonl")]
    flags += ["--start", start, "--output", f"{tmp_path}/model", "--epochs", "1"]
    assert cli.main(["train", *flags, "--keep-by", "cider_d"]) == 0
    assert "CIDEr-D" in capsys.readouterr().out
    assert cli.main(["caption", str(collection / "1.png"), "--model", f"{tmp_path}/model"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --features"),
        (["--images", "a"], "give --features"),
        (["--images", "a", "--captions", "b", "--features", "c"], "give --features"),
    ],
)
def test_features_or_images_are_needed(tmp_path, capsys, flags, message):
    assert cli.main(["train", "--output", f"{tmp_path}/model", *flags]) == 2
    assert message in capsys.readouterr().err


def test_without_a_model_to_start_from_the_user_is_told(collection, tmp_path):
    with pytest.raises(UserError, match="--start MODEL"):
        training.train(pictures(collection), f"{tmp_path}/model", OPTIONS)


def test_images_that_are_elsewhere_are_a_users_mistake(collection, start, tmp_path):
    elsewhere = dataclasses.replace(pictures(collection), images=str(tmp_path))
    options = dataclasses.replace(OPTIONS, start=start)
    with pytest.raises(UserError, match="none of the first images .* can be read"):
        training.train(elsewhere, f"{tmp_path}/model", options)


def test_development_images_that_are_elsewhere_are_a_users_mistake(collection, start, tmp_path):
    captions = Path(f"{collection}/captions.jsonl").read_text()
    line = json.dumps({"image": "gone.png", "caption": "a red picture", "split": "dev"})
    kept = [line for line in captions.splitlines() if '"dev"' not in line]
    (tmp_path / "captions.jsonl").write_text("\n".join([*kept, line]))
    elsewhere = dataclasses.replace(pictures(collection), captions=f"{tmp_path}/captions.jsonl")
    with pytest.raises(UserError, match="none of the first images .*gone.png"):
        training.train(elsewhere, f"{tmp_path}/model", dataclasses.replace(OPTIONS, start=start))


def images_of(collection: Path, augment: bool) -> PixelImages:
    encoder = toy_features.encoder()
    source = pictures(collection, augment=augment).source(encoder.spec, "")
    return source.train


def test_what_cant_be_read_is_left_out(collection):
    found = list(images_of(collection, augment=True).in_order().as_numpy_iterator())
    assert [record["id"] for record in found] == [
        b"%d.png" % number for number in (1, 2, *range(4, 9))
    ]
    assert all(record["features"].shape == (SIZE, SIZE, 3) for record in found)
    assert found[0]["captions"].tolist() == [b"a blue picture", b"it is blue"]


@pytest.mark.parametrize("augment", [True, False])
def test_each_seed_has_its_own_order_and_pictures(collection, augment):
    images = images_of(collection, augment)
    first, second, again = (list(images.shuffled(seed).as_numpy_iterator()) for seed in (0, 1, 0))
    ids = [[record["id"] for record in epoch] for epoch in (first, second)]
    assert ids[0] != ids[1] and sorted(ids[0]) == sorted(ids[1])
    for one, other in zip(first, again, strict=True):
        assert one["id"] == other["id"]
        assert (one["features"] == other["features"]).all()
    plain = {record["id"]: record["features"] for record in images.in_order().as_numpy_iterator()}
    same = [(record["features"] == plain[record["id"]]).all() for record in first]
    assert not any(same) if augment else all(same)


def test_pictures_whose_captions_tell_sides_apart_are_not_mirrored(tmp_path):
    half = np.zeros((50, 50, 3), np.uint8)
    half[:, :25] = 255
    lines = []
    for number in range(24):
        Image.fromarray(half).save(tmp_path / f"{number}.png")
        side = ("on the left", "\nRight here")[number % 4 // 2] if number % 2 else "here"
        lines.append(
            json.dumps({"image": f"{number}.png", "caption": f"white {side}", "split": "train"})
        )
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    found = {
        int(record["id"].removesuffix(b".png")): record["features"]
        for record in images_of(tmp_path, augment=True).shuffled(0).as_numpy_iterator()
    }
    mirrored = {number for number, pixels in found.items() if pixels[:, :8].mean() < 128}
    assert mirrored and len(mirrored) < 12
    assert all(number % 2 == 0 for number in mirrored)
