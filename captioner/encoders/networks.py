"""From networks of `keras.applications` to one that gives an image's features."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from PIL import Image

from captioner.encoders.spec import EncoderSpec, NetworkSpec
from captioner.errors import UserError


def up_to(whole: keras.Model, network: NetworkSpec, spec: EncoderSpec) -> keras.Model:
    """A network up to its layer, whose grid is averaged as the encoder's spec says.

    Raises:
        UserError: it has no such layer, or that has no grid.
    """
    output = _layer(whole, network).output
    if len(output.shape) != 4:
        raise UserError(f"{network.name}: what '{network.layer}' gives is no grid; name another")
    if spec.features == "pooled":
        output = keras.layers.GlobalAveragePooling2D()(output)
    elif spec.grid_size:
        output = _averaged(output, spec.grid_size)
    output = keras.layers.Activation("linear", dtype="float32")(output)
    return keras.Model(whole.input, output)


def side_by_side(networks: Sequence[keras.Model], image_size: int) -> keras.Model:
    """What several networks give, one after the other; each takes the pixels in its own size.

    Args:
        networks: layers of one network, or networks of their own, from uint8 pixels [N, size,
            size, 3] to float32 [N, ..., channels].
        image_size: side in pixels of the squares that they share.

    Raises:
        UserError: their grids differ.
    """
    if len(networks) == 1:
        return networks[0]
    grids = [network.output.shape[1:-1] for network in networks]
    if len(set(grids)) > 1:
        sizes = " and ".join(" x ".join(map(str, grid)) for grid in grids)
        raise UserError(f"grids of {sizes} don't go together; average them with --grid-size")
    if all(network.input is networks[0].input for network in networks):
        outputs = [network.output for network in networks]
        return keras.Model(networks[0].input, keras.ops.concatenate(outputs, axis=-1))
    pixels = keras.Input((image_size, image_size, 3), dtype="uint8", name="pixels")
    outputs = []
    for number, network in enumerate(networks, 1):
        network.name = f"network_{number}"
        outputs.append(network(_resized(pixels, network.input.shape[1])))
    return keras.Model(pixels, keras.ops.concatenate(outputs, axis=-1))


def settle(network: keras.Model, seed: int) -> None:
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


def _layer(whole: keras.Model, network: NetworkSpec) -> keras.Model | keras.layers.Layer:
    if not network.layer:
        return whole
    try:
        return whole.get_layer(network.layer)
    except ValueError as error:
        raise UserError(f"{network.name} has no layer called '{network.layer}'") from error


def _resized(pixels: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """Squares of uint8 pixels in another size, as Pillow makes it, up to rounding.

    Its bilinear filter, which looks at all pixels when it shrinks, is linear in each direction.
    """
    before = pixels.shape[1]
    if size == before:
        return pixels
    every_pixel = Image.fromarray(np.eye(before, dtype=np.float32))
    weights = np.asarray(every_pixel.resize((size, before), Image.Resampling.BILINEAR))
    resized = _product(keras.ops.cast(pixels, "float32"), weights, weights)
    return keras.ops.cast(keras.ops.round(resized), "uint8")


def _averaged(grid: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """A grid of places averaged to `size` x `size`, each the mean of the places it overlaps."""
    return _product(grid, *(_overlaps(places, size) for places in grid.shape[1:3]))


def _product(grid: keras.KerasTensor, rows: np.ndarray, columns: np.ndarray) -> keras.KerasTensor:
    """A grid whose rows and columns are weighted sums of another's: float32 [before, after]."""
    return keras.ops.einsum("nrcf,ri,cj->nijf", grid, rows, columns)


def _overlaps(places: int, cells: int) -> np.ndarray:
    """The weight of each place in each cell along one axis: float32 [places, cells]."""
    weights = np.zeros((places, cells), np.float32)
    for cell in range(cells):
        begin, end = cell * places // cells, -(-(cell + 1) * places // cells)
        weights[begin:end, cell] = 1 / (end - begin)
    return weights
