"""The networks of `keras.applications`, each with the preprocessing it was trained with."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from captioner.errors import UserError

# Networks that were trained on pictures of another size than the usual 224 pixels.
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


def names() -> list[str]:
    """The networks' names, in lower case."""
    return sorted(_constructors())


def application_size(name: str) -> int:
    """Side in pixels of the pictures that a network was trained on."""
    return _IMAGE_SIZES.get(name, 224)


def application(name: str, size: int, weights: str | None = None) -> keras.Model:
    """A network without its top, from raw uint8 pixels, [N, size, size, 3], on.

    Args:
        name: as of `names`.
        weights: "imagenet", or None for fresh ones, drawn from Keras' global seed.

    Raises:
        UserError: no network has the name or takes that size, or the weights can't be had.
    """
    if name not in _constructors():
        raise UserError(f"no encoder is called '{name}'; there are: {', '.join(names())}")
    constructor, preprocess = _constructors()[name]
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    scaled = preprocess(keras.ops.cast(pixels, "float32"))
    if name.startswith("efficientnetb") and weights is None:
        scaled = _as_efficientnets_weights_need(scaled)
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
    network = keras.Model(pixels, network.output)
    _name_as_if_first(network)
    return network


def _name_as_if_first(network: keras.Model) -> None:
    """Give layers that Keras numbers through a process the names they have in a fresh one.

    So "add_11" is the same layer of a network, however many were made before.
    """
    numbered: dict[str, list[tuple[int, keras.layers.Layer]]] = defaultdict(list)
    for layer in network.layers:
        found = re.fullmatch(r"(.+?)(?:_(\d+))?", layer.name)
        if found and found[1] == _automatic_name(layer):
            numbered[found[1]].append((int(found[2] or 0), layer))
    for name, layers in numbered.items():
        for place, (_, layer) in enumerate(sorted(layers, key=lambda pair: pair[0])):
            layer.name = f"{name}_{place}" if place else name


def _automatic_name(layer: keras.layers.Layer) -> str:
    """What Keras calls a layer of this class, without the number."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _as_efficientnets_weights_need(pixels: Any) -> Any:
    """Divide once more by the root of each channel's deviation, as EfficientNet was trained.

    Keras' network does that, but only if it downloads the weights itself: without this it would be
    another network that is given the same weights from a file.
    """
    mean, deviation = 255 * np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
    return (pixels - mean) / np.sqrt(deviation / 255) + mean


def _constructors() -> dict[str, tuple[Callable[..., keras.Model], Callable[..., Any]]]:
    """Lower-case name to (constructor, preprocessing), read off `keras.applications`."""
    return {
        name.lower(): (value, sys.modules[value.__module__].preprocess_input)
        for name, value in vars(keras.applications).items()
        if callable(value)
    }
