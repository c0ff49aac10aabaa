"""A batch of pixels in, features out: Xception by default, others of Keras' own by name."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from captioner import shards, storage
from captioner.errors import UserError

# Families whose networks were trained on pictures of another size than the usual 224 pixels.
_IMAGE_SIZES = {
    "xception": 299,
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "nasnetlarge": 331,
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
}


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """What decides the features of an image: two encoders of equal spec give equal features.

    Args:
        name: the network, as in `keras.applications`, in lower case.
        layer: the layer whose output is taken; empty for the network's last.
        features: "pooled", the mean over the grid of places, or "grid".
        image_size: side in pixels of the square that images are resized to.
        grid_size: side of the grid the layer's own is averaged to; 0 keeps the layer's own.
        precision: the number type that the network computes in.
        weights: fingerprint of the weights' values.
        source: where the weights came from, for people ("imagenet", "none", a file's name).
    """

    name: str
    layer: str
    features: str
    image_size: int
    grid_size: int
    precision: str
    weights: str
    source: str

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EncoderSpec:
        """The inverse of `to_json`."""
        return cls(**values)

    @property
    def fingerprint(self) -> str:
        """A short hash of what decides the features; where the weights came from does not."""
        return shards.fingerprint({**self.to_json(), "source": ""})

    def __str__(self) -> str:
        place = f" up to {self.layer}" if self.layer else ""
        return f"{self.name}{place}, {self.features}, {self.image_size} px, weights {self.source}"


class Encoder:
    """A network and its spec.

    Attributes:
        spec: what decides the features.
        network: the Keras model, uint8 pixels [N, size, size, 3] to float32 features.
        feature_shape: the shape of one image's features: (channels,) or (rows, columns, channels).
    """

    def __init__(self, spec: EncoderSpec, network: keras.Model) -> None:
        self.spec = spec
        self.network = network
        self.feature_shape: tuple[int, ...] = tuple(network.output.shape[1:])

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """The features of a batch. Batches of one size are fast: the graph is traced per size.

        Args:
            pixels: uint8 [N, size, size, 3], RGB, with the spec's size.

        Returns:
            float32 [N, *feature_shape].
        """
        return np.asarray(self.network.predict_on_batch(pixels), np.float32)

    def save_weights(self, file: str) -> None:
        """Publish the weights at the URI `file`, unless they are there."""
        with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
            local = Path(directory) / "encoder.weights.h5"
            self.network.save_weights(local)
            storage.create(file, local)

    @classmethod
    def load(cls, spec: EncoderSpec, weights_file: str) -> Encoder:
        """The encoder of `spec` with the weights that `save_weights` wrote.

        Raises:
            UserError: the file is missing, or holds other weights than the spec names.
        """
        network = _truncated(_application(spec.name, spec.image_size), spec)
        try:
            with storage.local_copy(weights_file) as local:
                _load_weights(network, local)
        except FileNotFoundError as error:
            raise UserError(f"{weights_file}: the encoder's weights are not there") from error
        if weights_fingerprint(network) != spec.weights:
            raise UserError(f"{weights_file}: not the weights that these features were made with")
        return cls(spec, network)


def create(
    name: str = "xception",
    weights: str = "imagenet",
    *,
    layer: str = "",
    features: str = "pooled",
    image_size: int | None = None,
    grid_size: int = 0,
    seed: int = 0,
) -> Encoder:
    """An encoder from a network of `keras.applications`.

    Args:
        name: the network's name, in any case.
        weights: "imagenet" (downloaded by Keras), "none" (untrained, drawn from `seed`), or the
            path of a weights file for the network without its top.
        layer, features, grid_size: see `EncoderSpec`.
        image_size: side in pixels; the network's own size by default.
        seed: of the untrained weights; without effect on others.

    Raises:
        UserError: an unknown network or layer, or weights that can't be had.
    """
    size = image_size or _IMAGE_SIZES.get(name.lower(), 224)
    spec = EncoderSpec(
        name.lower(), layer, features, size, grid_size, "float32", "", Path(weights).name
    )
    keras.utils.set_random_seed(seed)
    whole = _application(spec.name, size, "imagenet" if weights == "imagenet" else None)
    if weights not in ("imagenet", "none"):
        _load_weights_of_user(whole, weights)
    network = _truncated(whole, spec)
    if weights == "none":
        _settle(network, seed)
    return Encoder(dataclasses.replace(spec, weights=weights_fingerprint(network)), network)


def weights_fingerprint(network: keras.Model) -> str:
    """A short hash of every weight's value, in the network's own order."""
    digest = hashlib.sha256()
    for weight in network.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def names() -> list[str]:
    """The names that `create` takes."""
    return sorted(_constructors())


def _constructors() -> dict[str, tuple[Callable[..., keras.Model], Callable[..., Any]]]:
    """Lower-case name to (constructor, preprocessing), read off `keras.applications`."""
    found = {}
    for family in vars(keras.applications).values():
        preprocess = getattr(family, "preprocess_input", None)
        if preprocess is not None:
            for name, value in vars(family).items():
                if callable(value) and name[0].isupper():
                    found[name.lower()] = (value, preprocess)
    return found


def _application(name: str, size: int, weights: str | None = None) -> keras.Model:
    """The network without its top, from raw uint8 pixels on."""
    if name not in _constructors():
        raise UserError(f"no encoder is called '{name}'; there are: {', '.join(names())}")
    constructor, preprocess = _constructors()[name]
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    scaled = preprocess(keras.ops.cast(pixels, "float32"))
    shape = (size, size, 3)
    try:
        network = constructor(
            include_top=False, weights=weights, input_tensor=scaled, input_shape=shape
        )
    except (ValueError, OSError) as error:
        raise UserError(f"{name} can't take images of {size} pixels: {error}") from error
    except Exception as error:
        # Keras raises a bare Exception where a download fails.
        if "URL fetch failure" not in str(error):
            raise
        raise UserError(
            f"the ImageNet weights of {name} could not be downloaded; give a file with "
            "--encoder-weights PATH, or use untrained filters with --encoder-weights none"
        ) from error
    return keras.Model(pixels, network.output)


def _truncated(whole: keras.Model, spec: EncoderSpec) -> keras.Model:
    """`whole` up to the spec's layer, its grid averaged as the spec says."""
    output = whole.output
    if spec.layer:
        try:
            output = whole.get_layer(spec.layer).output
        except ValueError as error:
            raise UserError(f"{spec.name} has no layer called '{spec.layer}'") from error
    if spec.features == "pooled":
        output = keras.layers.GlobalAveragePooling2D()(output)
    elif spec.grid_size:
        output = _averaged(output, spec.grid_size)
    output = keras.layers.Activation("linear", dtype="float32")(output)
    return keras.Model(whole.input, output)


def _settle(network: keras.Model, seed: int) -> None:
    """Let an untrained network's batch norms take their statistics from random pictures.

    Without them the layers' outputs drift, and most of what a layer could tell is lost behind the
    next ReLU.
    """
    normalisations = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in normalisations:
        layer.momentum = 0.0
    size = network.input.shape[1]
    blots = np.random.default_rng(seed).uniform(0, 255, (16, 12, 12, 3)).astype(np.float32)
    pixels = keras.ops.image.resize(blots, (size, size), interpolation="bicubic")
    network(keras.ops.cast(keras.ops.clip(pixels, 0, 255), "uint8"), training=True)


def _averaged(grid: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """A grid of places averaged to `size` x `size`, each the mean of the places it overlaps."""
    rows, columns = (_overlaps(places, size) for places in grid.shape[1:3])
    return keras.ops.einsum("nrcf,ri,cj->nijf", grid, rows, columns)


def _overlaps(places: int, cells: int) -> np.ndarray:
    """The weight of each place in each cell along one axis: float32 [places, cells]."""
    weights = np.zeros((places, cells), np.float32)
    for cell in range(cells):
        begin, end = cell * places // cells, -(-(cell + 1) * places // cells)
        weights[begin:end, cell] = 1 / (end - begin)
    return weights


def _load_weights(network: keras.Model, path: Path) -> None:
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not weights for {network.name}: {reason}") from error


def _load_weights_of_user(whole: keras.Model, weights: str) -> None:
    if not storage.exists(weights):
        raise UserError(f"{weights}: no such weights file")
    with storage.local_copy(weights) as local:
        _load_weights(whole, local)
