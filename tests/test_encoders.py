"""Encoders: the right features, the same ones after loading, and mistakes said in a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from captioner import encoders
from captioner.encoders import Encoder, EncoderSpec
from captioner.encoders.applications import application_size
from captioner.errors import UserError

SMALL = {"layer": "block2_pool", "image_size": 75, "features": "grid"}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3), np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoders.create("xception", "none", **SMALL)


def test_features_are_those_of_keras_own_network(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    network = keras.applications.Xception(include_top=False, weights=None)
    network.save_weights(tmp_path / "own.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8)
    scaled = keras.applications.xception.preprocess_input(pixels.astype(np.float32))
    grid = np.asarray(network(scaled))
    for features, expected in [("grid", grid), ("pooled", grid.mean(axis=(1, 2)))]:
        encoder = encoders.create(
            "Xception", str(tmp_path / "own.weights.h5"), features=features, image_size=96
        )
        assert encoder.feature_shape == expected.shape[1:]
        np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-5)
    assert [network.source for network in encoder.spec.networks] == ["own.weights.h5"]


def test_a_grid_can_be_averaged_to_a_smaller_one(pixels: np.ndarray, encoder: Encoder) -> None:
    assert encoder.feature_shape == (18, 18, 128)
    one_cell = encoders.create("xception", "none", **SMALL, grid_size=1)
    assert one_cell.feature_shape == (1, 1, 128)
    mean = encoder.encode(pixels).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(one_cell.encode(pixels), mean, atol=1e-5)


def test_cells_are_means_of_the_places_they_overlap(pixels: np.ndarray, encoder: Encoder) -> None:
    grid = encoder.encode(pixels)
    averaged = encoders.create("xception", "none", **SMALL, grid_size=4).encode(pixels)
    # Of 18 places, 4.5 to a cell: the second cell has the places from 4 to 8.
    np.testing.assert_allclose(averaged[:, 1, 0], grid[:, 4:9, 0:5].mean(axis=(1, 2)), atol=1e-5)


def test_untrained_weights_are_drawn_from_the_seed(encoder: Encoder) -> None:
    same = encoders.create("xception", "none", **SMALL)
    other = encoders.create("xception", "none", **SMALL, seed=1)
    assert same.spec == encoder.spec
    assert other.spec.weights != encoder.spec.weights
    assert other.spec.fingerprint != encoder.spec.fingerprint


def test_a_saved_encoder_gives_the_same_features(
    pixels: np.ndarray, encoder: Encoder, tmp_path: Path
) -> None:
    file = str(tmp_path / "encoder.weights.h5")
    encoder.save_weights(file)
    spec = EncoderSpec.from_json(encoder.spec.to_json())
    np.testing.assert_array_equal(Encoder.load(spec, file).encode(pixels), encoder.encode(pixels))


def test_other_weights_than_the_spec_names_are_refused(encoder: Encoder, tmp_path: Path) -> None:
    file = str(tmp_path / "encoder.weights.h5")
    encoders.create("xception", "none", **SMALL, seed=1).save_weights(file)
    with pytest.raises(UserError, match="not the weights"):
        Encoder.load(encoder.spec, file)
    with pytest.raises(UserError, match="not there"):
        Encoder.load(encoder.spec, str(tmp_path / "gone"))


def test_a_companion_in_the_batch_changes_nothing(pixels: np.ndarray, encoder: Encoder) -> None:
    alone = encoder.encode(pixels[:1])
    np.testing.assert_allclose(encoder.encode(pixels)[:1], alone, atol=1e-5)


# One of each family, in the module of `keras.applications` that has its preprocessing.
FAMILIES = {
    "convnexttiny": "convnext",
    "densenet121": "densenet",
    "efficientnetb0": "efficientnet",
    "efficientnetv2b0": "efficientnet_v2",
    "inceptionresnetv2": "inception_resnet_v2",
    "inceptionv3": "inception_v3",
    "mobilenet": "mobilenet",
    "mobilenetv2": "mobilenet_v2",
    "mobilenetv3small": "mobilenet_v3",
    "nasnetmobile": "nasnet",
    "resnet50": "resnet",
    "resnet50v2": "resnet_v2",
    "vgg16": "vgg16",
    "xception": "xception",
}
NETWORKS = {
    name.lower(): value for name, value in vars(keras.applications).items() if callable(value)
}


def some(names: Iterable[str], fast: set[str]) -> pytest.MarkDecorator:
    """Names as a parameter, some tried each time and the others with the slow tests."""
    marks = [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("name", marks)


def test_every_network_of_keras_has_a_name() -> None:
    assert set(encoders.names()) == NETWORKS.keys() >= FAMILIES.keys()
    modules = {value.__module__.rpartition(".")[2] for value in NETWORKS.values()}
    assert modules == {*FAMILIES.values(), "vgg19"}


@some(NETWORKS, {"efficientnetv2b1", "mobilenet"})
def test_images_come_in_the_size_that_the_network_was_made_for(name: str) -> None:
    whole = NETWORKS[name](weights=None)
    size = (224, 224) if name.startswith("mobilenetv3") else whole.input_shape[1:3]  # it takes any
    assert (application_size(name), application_size(name)) == size
    keras.backend.clear_session()


@some(FAMILIES, {"mobilenet"})
def test_each_family_has_its_own_preprocessing(name: str, monkeypatch, tmp_path: Path) -> None:
    """Also when its weights, here downloaded from nowhere, come from a file the next time."""
    keras.utils.set_random_seed(1)
    _download(monkeypatch, tmp_path / "own.weights.h5", NETWORKS[name])
    own = NETWORKS[name](include_top=False, input_shape=(96, 96, 3))
    encoder = encoders.create(name, image_size=96)
    encoder.save_weights(str(tmp_path / "saved.weights.h5"))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8)
    family = getattr(keras.applications, FAMILIES[name])
    grid = np.asarray(own(family.preprocess_input(pixels.astype(np.float32))))
    expected = grid.mean(axis=(1, 2))
    scale = expected.std()  # of an untrained network it may be tiny
    assert scale > 0
    loaded = Encoder.load(encoder.spec, str(tmp_path / "saved.weights.h5"))
    given = encoders.create(name, str(tmp_path / "own.weights.h5"), image_size=96)
    for found in (encoder, loaded, given):
        np.testing.assert_allclose(found.encode(pixels) / scale, expected / scale, atol=1e-3)


def _download(monkeypatch: pytest.MonkeyPatch, file: Path, network: Callable) -> None:
    """Let the ImageNet weights of a network be fresh ones, written to a file."""
    own = network(include_top=False, weights=None, input_shape=(96, 96, 3))
    for layer in own.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:  # of EfficientNet
            mean, variance = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]) ** [[1], [2]]
            layer.set_weights([mean, variance, *layer.get_weights()[2:]])
    own.save_weights(file)
    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", lambda *_, **__: str(file))


def test_an_untrained_network_tells_pictures_apart() -> None:
    encoder = encoders.create("mobilenetv3small", "none", image_size=64)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    one, other = encoder.encode(pixels)
    assert np.abs(one - other).max() > 1e-3


# Two networks

PAIR = {"name": "mobilenetv2+Xception", "layer": "Conv1_relu+block1_conv1_act"}


@pytest.fixture(scope="module")
def pair() -> Encoder:
    return encoders.create(weights="none", **PAIR)


def test_two_networks_see_a_picture_each_in_its_own_size(pair: Encoder) -> None:
    assert [network.image_size for network in pair.spec.networks] == [224, 299]
    assert pair.spec.image_size == 299
    assert pair.feature_shape == (32 + 32,)
    photo = Image.effect_noise((40, 40), 90).resize((299, 299)).convert("RGB")
    found = pair.encode(np.asarray(photo)[None])
    expected = []
    for network in pair.spec.networks:
        alone = encoders.create(network.name, "none", layer=network.layer)
        smaller = photo.resize((network.image_size,) * 2, Image.Resampling.BILINEAR)
        expected.append(alone.encode(np.asarray(smaller)[None]))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=2e-3)


def test_grids_of_two_networks_are_averaged_to_one(pixels: np.ndarray) -> None:
    options = {"features": "grid", "image_size": 75, "grid_size": 3}
    together = encoders.create(weights="none", **PAIR, **options)
    names, layers = PAIR["name"].split("+"), PAIR["layer"].split("+")
    alone = [
        encoders.create(name, "none", layer=layer, **options).encode(pixels)
        for name, layer in zip(names, layers, strict=True)
    ]
    assert together.feature_shape == (3, 3, 64)
    np.testing.assert_allclose(together.encode(pixels), np.concatenate(alone, -1), atol=1e-5)


def test_two_layers_of_one_network(pixels: np.ndarray) -> None:
    options = {"weights": "none", "image_size": 75}
    both = encoders.create("xception+xception", layer="block2_pool+block1_conv1", **options)
    alone = [
        encoders.create(layer=layer, **options).encode(pixels)
        for layer in ("block2_pool", "block1_conv1")
    ]
    np.testing.assert_allclose(both.encode(pixels), np.concatenate(alone, -1), atol=1e-5)
    deeper = encoders.create(layer="block2_pool", **options)
    assert both.network.count_params() == deeper.network.count_params()


def test_a_saved_pair_gives_the_same_features(pair: Encoder, tmp_path: Path) -> None:
    file = str(tmp_path / "encoder.weights.h5")
    pair.save_weights(file)
    spec = EncoderSpec.from_json(json.loads(json.dumps(pair.spec.to_json())))
    assert (spec, spec.fingerprint) == (pair.spec, pair.spec.fingerprint)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), np.uint8)
    np.testing.assert_array_equal(Encoder.load(spec, file).encode(pixels), pair.encode(pixels))


def test_the_fingerprint_covers_each_network_but_not_where_weights_came_from(pair: Encoder) -> None:
    one, other = pair.spec.networks
    changed = [
        dataclasses.replace(pair.spec, networks=networks)
        for networks in (
            (other, one),
            (one,),
            (one, dataclasses.replace(other, layer="block1_conv2_act")),
            (one, dataclasses.replace(other, image_size=224)),
        )
    ]
    assert len({pair.spec.fingerprint, *(spec.fingerprint for spec in changed)}) == 5
    moved = dataclasses.replace(pair.spec, networks=(one, dataclasses.replace(other, source="x")))
    assert moved.fingerprint == pair.spec.fingerprint
    assert "mobilenetv2 up to Conv1_relu, 224 px, weights none + xception" in str(moved)


def test_each_of_two_networks_has_its_own_weights(tmp_path: Path) -> None:
    file = str(tmp_path / "one+only.weights.h5")
    keras.utils.set_random_seed(1)
    keras.applications.Xception(include_top=False, weights=None).save_weights(file)
    own = encoders.create("xception", file, layer="block1_conv1", image_size=75)
    weights = file.replace("+", "-")
    Path(file).rename(weights)
    both = encoders.create(
        "xception+xception", f"none+{weights}", layer="block1_conv1", image_size=75
    )
    assert [network.source for network in both.spec.networks] == ["none", "one-only.weights.h5"]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 75, 75, 3), np.uint8)
    np.testing.assert_allclose(both.encode(pixels)[:, 32:], own.encode(pixels), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "exception"}, "no encoder is called 'exception'"),
        ({"layer": "block99"}, "no layer called 'block99'"),
        ({"image_size": 20}, "can't take images of 20 pixels"),
        ({"weights": "/no/such/file.h5"}, "no such weights file"),
        ({"layer": "predictions", "name": "vgg16"}, "no layer called 'predictions'"),
        ({"name": "xception+"}, "no encoder is called ''"),
        ({"name": "xception+xception", "weights": "a/w.h5+b/w.h5"}, "files of one name"),
        ({"name": "xception+xception", "layer": "a+b+c"}, "3 layers for 2 encoders"),
        ({"name": "mobilenetv2+xception", "weights": "a+b+c"}, "3 weights for 2 encoders"),
        ({"name": "mobilenet+xception", "features": "grid"}, "7 x 7 and 10 x 10 .* --grid-size"),
    ],
)
def test_mistakes_are_said(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        encoders.create(**{"weights": "none", **arguments})


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.h5"
    file.write_text("no weights")
    with pytest.raises(UserError, match="not weights for"):
        encoders.create("xception", str(file), image_size=75)


def test_weights_that_cannot_be_downloaded_name_the_ways_out(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.src.utils.file_utils, "urlretrieve", _no_network)
    with pytest.raises(UserError, match="--encoder-weights PATH.*--encoder-weights none"):
        encoders.create("xception", "imagenet", image_size=75)


def _no_network(*_: object, **__: object) -> None:
    from urllib.error import URLError

    raise URLError("no network")


def test_a_layers_name_is_the_same_however_often_a_network_was_made():
    for _ in range(2):
        encoder = encoders.create("xception", "none", layer="add_2", image_size=71)
        assert encoder.feature_shape == (728,)
