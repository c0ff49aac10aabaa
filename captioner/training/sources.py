"""What a training reads: a split's images, as features or as pixels, with their captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import tensorflow as tf

from captioner.encoders import EncoderSpec
from captioner.records import FeatureDataset
from captioner.training.examples import FeatureImages, Survey


class Images(Protocol):
    """A split's images, as {"id", "features", "captions", "languages"}, see `FeatureDataset`."""

    def in_order(self) -> tf.data.Dataset:
        """All of them, always in the same order."""

    def shuffled(self, seed: int) -> tf.data.Dataset:
        """All of them, in an order that is the seed's."""

    def survey(self, shown: Callable[[Iterable[Any]], Iterable[Any]]) -> Survey:
        """What there is to know of them before training; `shown` is what is read, as it is."""


@dataclasses.dataclass(frozen=True)
class Source:
    """All that a training reads.

    Args:
        name: of the directory, for people.
        fingerprint: a short hash of what is in it.
        counts: images by split.
        encoder: what makes, or made, the features.
        encoder_weights: URI of its weights.
        shape: of what a network is given of an image.
        train, dev: the splits' images.
    """

    name: str
    fingerprint: str
    counts: dict[str, int]
    encoder: EncoderSpec
    encoder_weights: str
    shape: tuple[int, ...]
    train: Images
    dev: Images


def of_features(directory: str) -> Source:
    """Features that were extracted before.

    Raises:
        UserError: there are none in `directory`.
    """
    dataset = FeatureDataset.load(directory)
    return Source(
        name=directory,
        fingerprint=dataset.fingerprint,
        counts=dataset.counts,
        encoder=dataset.encoder,
        encoder_weights=dataset.encoder_weights,
        shape=dataset.feature_shape,
        train=FeatureImages(dataset, "train"),
        dev=FeatureImages(dataset, "dev"),
    )
