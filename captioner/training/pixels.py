"""Captioned images as pixels, for training the encoder too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from captioner import corpora, images, shards, storage
from captioner.corpora import CaptionedImage
from captioner.encoders import EncoderSpec
from captioner.errors import UserError
from captioner.training.examples import Survey
from captioner.training.sources import Source

# Before anything is done, so many images are tried.
_TRIED = 16

# Images are read this much larger than the encoder takes them, and cut to its size somewhere.
_MARGIN = 1.15
_BRIGHTNESS = 0.15
_CONTRAST = (0.85, 1.15)
# A picture isn't mirrored whose captions tell the sides apart.
_SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A captioned collection of images.

    Args:
        images: the directory or prefix that the images' names are relative to.
        captions, captions_format, splits: the collection; see `corpora.read`.
        augment: whether training images are cut, mirrored and lit at random, each time anew.
        from_layer: the first of the encoder's layers to learn; all of them without.
    """

    images: str
    captions: str
    captions_format: str | None = None
    splits: str | None = None
    augment: bool = True
    from_layer: str = ""

    def source(self, encoder: EncoderSpec, encoder_weights: str) -> Source:
        """The images as an encoder takes them.

        Raises:
            UserError: there are no captions, or none of the first images can be read.
        """
        collection = list(corpora.read(self.captions, self.captions_format, self.splits))
        splits = {
            split: [image for image in collection if image.split == split]
            for split in ("train", "dev")
        }
        for found in splits.values():
            self._check(found)
        size = encoder.image_size
        return Source(
            name=self.images,
            fingerprint=shards.fingerprint(
                {**dataclasses.asdict(self), "collection": list(map(repr, collection))}
            ),
            counts={split: len(found) for split, found in splits.items() if found},
            encoder=encoder,
            encoder_weights=encoder_weights,
            shape=(size, size, 3),
            train=PixelImages(self.images, splits["train"], size, self.augment),
            dev=PixelImages(self.images, splits["dev"], size, augment=False),
        )

    def _check(self, collection: Sequence[CaptionedImage]) -> None:
        problems = []
        for image in collection[:_TRIED]:
            try:
                read(self.images, image.id, 32)
                return
            except (OSError, images.ImageError) as error:
                problems.append(f"{image.id}: {error}")
        if problems:
            raise UserError(
                f"{self.images}: none of the first images of {self.captions} can be read there: "
                f"{problems[0]}"
            )


class PixelImages:
    """A split's images, read and decoded each time anew; see `sources.Images`.

    An image that can't be read is left out.

    Args:
        root: the directory or prefix of the images.
        collection: their captions.
        size: side in pixels.
        augment: whether each pass sees them cut, mirrored and lit otherwise.
    """

    def __init__(
        self, root: str, collection: Sequence[CaptionedImage], size: int, augment: bool
    ) -> None:
        self._root = root
        self._collection = collection
        self._size = size
        self._augment = augment

    def in_order(self) -> tf.data.Dataset:
        """All images, never augmented."""
        return self._read(np.arange(len(self._collection)), self._size)

    def shuffled(self, seed: int) -> tf.data.Dataset:
        """All images, in an order that is the seed's, augmented by it where they are to be."""
        order = np.random.default_rng(seed).permutation(len(self._collection))
        if not self._augment:
            return self._read(order, self._size)
        records = self._read(order, round(self._size * _MARGIN))
        seeds = tf.data.Dataset.counter().map(lambda number: tf.stack([seed, number]))
        return tf.data.Dataset.zip(records, seeds).map(self._augmented)

    def survey(self, shown: Callable[[Iterable[Any]], Iterable[Any]]) -> Survey:
        """Their captions; the features are the encoder's, which knows their statistics."""
        captions = [list(image.tagged()) for image in self._collection]
        return Survey(captions, np.zeros(0), np.zeros(0))

    def _read(self, order: np.ndarray, size: int) -> tf.data.Dataset:
        def record(number: tf.Tensor) -> dict[str, tf.Tensor]:
            kinds = (tf.uint8, tf.string, tf.string, tf.string)
            pixels, *texts = tf.numpy_function(self._load, [number, size], kinds)
            pixels.set_shape((None, None, 3))
            for text, rank in zip(texts, (0, 1, 1), strict=True):
                text.set_shape([None] * rank)
            id, captions, languages = texts
            return {"id": id, "features": pixels, "captions": captions, "languages": languages}

        records = tf.data.Dataset.from_tensor_slices(order).map(record, tf.data.AUTOTUNE)
        records = records.filter(lambda record: tf.size(record["features"]) > 0)

        def shaped(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {**record, "features": tf.ensure_shape(record["features"], (size, size, 3))}

        return records.map(shaped)

    def _load(self, number: int, size: int) -> tuple[np.ndarray, ...]:
        image = self._collection[number]
        try:
            pixels = read(self._root, image.id, int(size))
        except (OSError, images.ImageError):
            pixels = np.zeros((0, 0, 3), np.uint8)
        captions, languages = zip(*image.tagged(), strict=True)
        return pixels, np.bytes_(image.id.encode()), _texts(captions), _texts(languages)

    def _augmented(self, record: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        size = (self._size, self._size, 3)
        pixels = tf.image.stateless_random_crop(record["features"], size, seed)
        pixels = tf.image.stateless_random_brightness(pixels, _BRIGHTNESS, seed)
        pixels = tf.image.stateless_random_contrast(pixels, *_CONTRAST, seed)
        sides = "|".join(rf"\b{side}\b" for side in _SIDES)
        told = tf.reduce_any(tf.strings.regex_full_match(record["captions"], f"(?is).*({sides}).*"))
        mirrored = tf.image.stateless_random_flip_left_right(pixels, seed)
        return {**record, "features": tf.where(told, pixels, mirrored)}


def read(root: str, id: str, size: int) -> np.ndarray:
    """An image's pixels, uint8 [size, size, 3].

    Raises:
        OSError: it can't be read.
        ImageError: it is none.
    """
    return images.decode(storage.read_bytes(storage.join(root, id)), size).pixels


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], object)
