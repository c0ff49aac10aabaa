"""Encoders: the right features, the same ones after loading, and mistakes said in a line."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from captioner import encoders
from captioner.encoders import Encoder, EncoderSpec
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
    assert encoder.spec.source == "own.weights.h5"


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


def test_other_networks_come_by_name() -> None:
    encoder = encoders.create("densenet201", "none", image_size=64)
    assert encoder.feature_shape == (1920,)
    assert {"xception", "densenet201", "resnet50", "efficientnetv2s"} <= set(encoders.names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "exception"}, "no encoder is called 'exception'"),
        ({"layer": "block99"}, "no layer called 'block99'"),
        ({"image_size": 20}, "can't take images of 20 pixels"),
        ({"weights": "/no/such/file.h5"}, "no such weights file"),
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
