"""What decoders that attend to the picture are told of each of its places."""

from __future__ import annotations

import math
from typing import Any

from keras import layers, ops


class Places(layers.Layer):
    """What the decoder is told of each place: what is there, what is around it, where it is.

    Args:
        feature_shape: of one image's features, (channels,) or (rows, columns, channels).
        units: width of the result.
        dropout: of whole channels, and of what is told of each place of a grid.
    """

    def __init__(self, feature_shape: tuple[int, ...], units: int, dropout: float) -> None:
        super().__init__()
        self.cell_count = math.prod(feature_shape[:-1])
        self.grid = feature_shape[:-1]
        self.channel_dropout = layers.SpatialDropout1D(dropout)
        self.here = layers.Dense(units, activation="gelu")
        self.here_norm = layers.LayerNormalization()
        if self.cell_count > 1:
            self.around = layers.Conv2D(units, 3, padding="same", activation="gelu")
            self.around_norm = layers.LayerNormalization()
            self.position = layers.Embedding(self.cell_count, units)
            self.dropout = layers.Dropout(dropout)

    def call(self, cells: Any) -> Any:
        """[batch, cells, channels] to [batch, cells, units]."""
        places = self.here_norm(self.here(self.channel_dropout(cells)))
        if self.cell_count == 1:
            return places
        grid = ops.reshape(places, (-1, *self.grid, places.shape[-1]))
        around = ops.reshape(self.around(grid), ops.shape(places))
        positions = self.position(ops.arange(self.cell_count))
        return self.dropout(self.around_norm(around) + positions)
