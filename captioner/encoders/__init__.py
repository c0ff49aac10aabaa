"""A batch of pixels in, features out: Xception by default, others of Keras' own by name.

Several networks can look at the same pictures: their features are put one after the other.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import tempfile
from pathlib import Path

import keras
import numpy as np

from captioner import storage
from captioner.encoders import engines, networks
from captioner.encoders.applications import application, application_size, names
from captioner.encoders.spec import EncoderSpec, NetworkSpec
from captioner.errors import UserError

__all__ = ["Encoder", "EncoderSpec", "NetworkSpec", "create", "names", "weights_fingerprint"]


class Encoder:
    """A network, its spec and what runs it.

    Args:
        engine: of `engines.ENGINES`. OpenVINO compiles the network when it first encodes.

    Attributes:
        spec: what decides the features.
        network: the Keras model, uint8 pixels [N, size, size, 3] to float32 features.
        feature_shape: the shape of one image's features: (channels,) or (rows, columns, channels).
    """

    def __init__(self, spec: EncoderSpec, network: keras.Model, engine: str = "auto") -> None:
        self.spec = spec
        self.network = network
        self.feature_shape: tuple[int, ...] = tuple(network.output.shape[1:])
        self._engine = engine

    @functools.cached_property
    def _run(self) -> engines.Run:
        return engines.create(self._engine, self.network, self.spec.precision)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """The features of a batch. Batches of one size are fast: the graph is traced per size.

        Args:
            pixels: uint8 [N, size, size, 3], RGB, with the spec's size.

        Returns:
            float32 [N, *feature_shape].
        """
        return self._run(pixels)

    def save_weights(self, file: str) -> None:
        """Publish the weights at the URI `file`, unless they are there."""
        with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
            local = Path(directory) / "encoder.weights.h5"
            self.network.save_weights(local)
            storage.create(file, local)

    @classmethod
    def load(cls, spec: EncoderSpec, weights_file: str, engine: str = "auto") -> Encoder:
        """The encoder of `spec` with the weights that `save_weights` wrote, run by an engine.

        Raises:
            UserError: the file is missing, or holds other weights than the spec names.
        """
        to_make = {part.whole: (part.name, part.image_size) for part in spec.networks}
        wholes = {whole: application(*found) for whole, found in to_make.items()}
        parts = [networks.up_to(wholes[part.whole], part, spec) for part in spec.networks]
        network = networks.side_by_side(parts, spec.image_size)
        try:
            with storage.local_copy(weights_file) as local:
                _load_weights(network, local)
        except FileNotFoundError as error:
            raise UserError(f"{weights_file}: the encoder's weights are not there") from error
        if weights_fingerprint(network) != spec.weights:
            raise UserError(f"{weights_file}: not the weights that these features were made with")
        return cls(spec, network, engine)


def create(
    name: str = "xception",
    weights: str = "imagenet",
    *,
    layer: str = "",
    features: str = "pooled",
    image_size: int | None = None,
    grid_size: int = 0,
    precision: str = "float32",
    seed: int = 0,
    engine: str = "auto",
) -> Encoder:
    """An encoder from one network of `keras.applications`, or from several.

    Args:
        name: the network's name, in any case; of several with "+" between.
        weights: "imagenet" (downloaded by Keras), "none" (untrained, drawn from `seed`), or the
            path of a weights file for the network without its top. Of several networks those of
            each with "+" between, or the same for all.
        layer: see `NetworkSpec`; of several networks as `weights`. Several layers of one network
            with the same weights are had for the price of one.
        features, grid_size, precision: see `EncoderSpec`.
        image_size: side in pixels; each network's own size by default.
        seed: of the untrained weights; without effect on others.
        engine: see `Encoder`.

    Raises:
        UserError: an unknown network or layer, or weights that can't be had, or grids of several
            networks that differ.
    """
    names = name.lower().split("+")
    layers = _for_each(layer, len(names), "layers")
    sources = _for_each(weights, len(names), "weights")
    parts = tuple(
        NetworkSpec(name, layer, image_size or application_size(name), Path(source).name)
        for name, layer, source in zip(names, layers, sources, strict=True)
    )
    spec = EncoderSpec(parts, features, grid_size, precision, "")
    to_make = {part.whole: (part, source) for part, source in zip(parts, sources, strict=True)}
    if [to_make[part.whole][1] for part in parts] != sources:
        raise UserError(f"{weights}: files of one name for one network; rename one of them")
    wholes = {whole: _whole(*found, seed) for whole, found in to_make.items()}
    made = [networks.up_to(wholes[part.whole], part, spec) for part in parts]
    for network, source in zip(made, sources, strict=True):
        if source == "none":
            networks.settle(network, seed)
    network = networks.side_by_side(made, spec.image_size)
    spec = dataclasses.replace(spec, weights=weights_fingerprint(network))
    return Encoder(spec, network, engine)


def weights_fingerprint(network: keras.Model) -> str:
    """A short hash of every weight's value, in the network's own order."""
    digest = hashlib.sha256()
    for weight in network.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def _for_each(text: str, count: int, what: str) -> list[str]:
    """What is given for each of several networks; of a single one "+" is as good as any letter."""
    given = text.split("+") if count > 1 else [text]
    if len(given) not in (1, count):
        raise UserError(f"{text}: {len(given)} {what} for {count} encoders; give one for each")
    return given if len(given) == count else given * count


def _whole(part: NetworkSpec, weights: str, seed: int) -> keras.Model:
    """A network of an encoder, with its weights."""
    keras.utils.set_random_seed(seed)
    whole = application(part.name, part.image_size, "imagenet" if weights == "imagenet" else None)
    if weights not in ("imagenet", "none"):
        _load_weights_of_user(whole, weights)
    return whole


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
