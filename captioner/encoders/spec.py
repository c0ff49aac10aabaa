"""What decides the features of an image."""

from __future__ import annotations

import dataclasses
from typing import Any

from captioner import shards


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """One network of an encoder.

    Args:
        name: as in `keras.applications`, in lower case.
        layer: the layer whose output is taken; empty for the network's last.
        image_size: side in pixels of the square that it takes.
        source: where its weights came from, for people ("imagenet", "none", a file's name).
    """

    name: str
    layer: str
    image_size: int
    source: str

    @property
    def whole(self) -> tuple[str, int, str]:
        """What is the same of parts that are layers of one network."""
        return self.name, self.image_size, self.source

    def __str__(self) -> str:
        place = f" up to {self.layer}" if self.layer else ""
        return f"{self.name}{place}, {self.image_size} px, weights {self.source}"


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """Two encoders of equal spec give equal features.

    Args:
        networks: at least one. The features are what they give, one after the other.
        features: "pooled", the mean over the grid of places, or "grid".
        grid_size: side of the grid the layer's own is averaged to; 0 keeps the layer's own.
        precision: what the networks may compute in: "float32", or "bfloat16" where that is faster.
        weights: fingerprint of all weights' values.
    """

    networks: tuple[NetworkSpec, ...]
    features: str
    grid_size: int
    precision: str
    weights: str

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that images are resized to: what the largest takes."""
        return max(network.image_size for network in self.networks)

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EncoderSpec:
        """The inverse of `to_json`."""
        networks = tuple(NetworkSpec(**network) for network in values["networks"])
        return cls(**{**values, "networks": networks})

    @property
    def fingerprint(self) -> str:
        """A short hash of what decides the features; where the weights came from does not."""
        networks = tuple(dataclasses.replace(network, source="") for network in self.networks)
        return shards.fingerprint(dataclasses.replace(self, networks=networks).to_json())

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.networks))}, {self.features}"
