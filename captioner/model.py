"""A trained captioner as a directory: load it, and `caption` images.

The directory holds::

    model.json            what the model is: see `Description`
    vocabulary.json       see `Vocabulary.save`
    decoder.weights.h5    the decoder's weights; its layer `standardise` holds the mean and the
                          standard deviation of the training features
    encoder.weights.h5    the encoder's weights
    history.json, curves.png, model.png    for people: how training went, and the network

``model.json`` is written last and names the fingerprints of the others, so that a directory whose
writing was cut short, or whose files come from two trainings, is not loaded.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from captioner import decoders, images, shards, storage
from captioner.decoders import Decoder
from captioner.encoders import Encoder, EncoderSpec, weights_fingerprint
from captioner.errors import UserError
from captioner.search import SearchOptions, beam_search
from captioner.vocabulary import Vocabulary

FORMAT = 1
BATCH_SIZE = 32

_DESCRIPTION = "model.json"
_VOCABULARY = "vocabulary.json"
_DECODER = "decoder.weights.h5"
_ENCODER = "encoder.weights.h5"


@dataclasses.dataclass(frozen=True)
class Caption:
    """What was found for one image.

    Attributes:
        text: the best candidate.
        log_probability: natural logarithm of its probability, summed over its words and its end.
        candidates: (text, log-probability), best first by the search's own ranking.
    """

    text: str
    log_probability: float
    candidates: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model is: the values of ``model.json``, with the fingerprints of the other files.

    Args:
        decoder: its name, a key of `decoders.DECODERS`.
        settings: those it was created with.
        encoder: what makes the features it reads.
        feature_shape: of one image's features.
        training: what it was trained on, how, and what came out; for people.
    """

    decoder: str
    settings: dict[str, Any]
    encoder: EncoderSpec
    feature_shape: tuple[int, ...]
    training: dict[str, Any]

    def create_decoder(self, vocabulary: Vocabulary) -> Decoder:
        """The described decoder with fresh weights."""
        return decoders.create(self.decoder, len(vocabulary), self.feature_shape, **self.settings)

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {**dataclasses.asdict(self), "feature_shape": list(self.feature_shape)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Description:
        """The inverse of `to_json`; other values are left alone."""
        known = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        known["encoder"] = EncoderSpec.from_json(known["encoder"])
        known["feature_shape"] = tuple(known["feature_shape"])
        return cls(**known)


class Captioner:
    """Images in, captions out.

    Args:
        description: what the model is.
        decoder: the network, with its weights.
        vocabulary: of its tokens.
        encoder_weights: URI of the weights of the described encoder.
        encoder: the described encoder; without it only features can be captioned.
        search: how captions are searched for.
        batch_size: images at a time. Less are filled up, so that one graph serves all.

    Attributes:
        description, decoder, vocabulary, encoder, batch_size: as given.
        fingerprint: a short hash of all that decides the captions: the model and the search.
    """

    def __init__(
        self,
        description: Description,
        decoder: Decoder,
        vocabulary: Vocabulary,
        encoder_weights: str,
        encoder: Encoder | None = None,
        search: SearchOptions | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.description = description
        self.decoder = decoder
        self.vocabulary = vocabulary
        self.encoder = encoder
        self._encoder_weights = encoder_weights
        self.batch_size = batch_size
        search = search or SearchOptions()
        self._search = BeamSearch(decoder, search)
        self.fingerprint = shards.fingerprint(
            {
                "decoder": weights_fingerprint(decoder),
                "vocabulary": vocabulary.fingerprint,
                "encoder": description.encoder.fingerprint,
                "search": dataclasses.asdict(search),
            }
        )

    @classmethod
    def load(
        cls,
        directory: str,
        search: SearchOptions | None = None,
        *,
        encoder: bool = True,
        batch_size: int = BATCH_SIZE,
    ) -> Captioner:
        """The captioner that was saved in `directory`.

        Args:
            directory: a URI.
            search: how to search for captions.
            encoder: whether to load the encoder too, which images need and features don't.
            batch_size: images at a time.

        Raises:
            UserError: there is no model, or not a whole one of this version.
        """
        values = _read_description(directory)
        description = Description.from_json(values)
        vocabulary = Vocabulary.load(storage.join(directory, _VOCABULARY))
        decoder = _load_decoder(description, vocabulary, storage.join(directory, _DECODER))
        if values["fingerprints"] != _fingerprints(vocabulary, decoder):
            raise UserError(f"{directory}: files of different trainings; train the model again")
        weights = storage.join(directory, _ENCODER)
        loaded = Encoder.load(description.encoder, weights) if encoder else None
        return cls(description, decoder, vocabulary, weights, loaded, search, batch_size)

    def save(self, directory: str) -> None:
        """Write the model's files to `directory`, a URI, replacing those that are there."""
        encoder_weights = storage.read_bytes(self._encoder_weights)
        storage.replace(storage.join(directory, _ENCODER), encoder_weights)
        self.vocabulary.save(storage.join(directory, _VOCABULARY))
        with tempfile.TemporaryDirectory(prefix="captioner-") as temporary:
            local = Path(temporary) / _DECODER
            self.decoder.save_weights(local)
            storage.replace(storage.join(directory, _DECODER), local.read_bytes())
        fingerprints = _fingerprints(self.vocabulary, self.decoder)
        values = {
            "format": FORMAT,
            **self.description.to_json(),
            "vocabulary_size": len(self.vocabulary),
            "fingerprints": fingerprints,
        }
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        storage.replace(storage.join(directory, _DESCRIPTION), text.encode())

    def check_encoder(self, encoder: EncoderSpec) -> None:
        """See that features made by `encoder` are those that the model was trained on.

        Raises:
            UserError: they are not.
        """
        expected = self.description.encoder
        if encoder.fingerprint != expected.fingerprint:
            raise UserError(
                f"the model was trained on features of another encoder ({expected}; these are of "
                f"{encoder}); extract the features with that one, or train on these"
            )

    def check_encoder_weights(self) -> None:
        """See that the encoder's weights are there, without loading them.

        Raises:
            UserError: they are not.
        """
        if not storage.exists(self._encoder_weights):
            raise UserError(f"{self._encoder_weights}: the encoder's weights are not there")

    def caption(self, images: Sequence[str | bytes | Image.Image | np.ndarray]) -> list[Caption]:
        """Caption images, each a URI, a file's bytes, a Pillow image or an array of pixels.

        Args:
            images: arrays are uint8, [height, width] or [height, width, 3 or 4].

        Raises:
            UserError: an image can't be read.
        """
        size = self.description.encoder.image_size
        captions: list[Caption] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            captions += self.caption_pixels(np.stack([_pixels(image, size) for image in chunk]))
        return captions

    def caption_pixels(self, pixels: np.ndarray) -> list[Caption]:
        """Caption images of the encoder's size: uint8 [count, size, size, 3], RGB."""
        if self.encoder is None:
            raise ValueError("the captioner was loaded without its encoder")
        captions: list[Caption] = []
        for batch, count in self._batches(pixels):
            captions += self.caption_features(self.encoder.encode(batch)[:count])
        return captions

    def caption_features(self, features: np.ndarray) -> list[Caption]:
        """Caption images by their features: any floats [count, *feature_shape]."""
        captions: list[Caption] = []
        for batch, count in self._batches(features.astype(np.float32, copy=False)):
            tokens, log_probabilities = self._search.predict_on_batch(batch)
            pairs = zip(tokens[:count], log_probabilities[:count], strict=True)
            captions += [self._to_caption(*pair) for pair in pairs]
        return captions

    def _batches(self, rows: np.ndarray) -> Iterable[tuple[np.ndarray, int]]:
        """Full batches, the last one filled with its last row, and how many rows are real."""
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            missing = self.batch_size - len(batch)
            yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]), len(batch)

    def _to_caption(self, tokens: np.ndarray, log_probabilities: np.ndarray) -> Caption:
        """From tokens [width, length] and log-probabilities [width]."""
        candidates = tuple(
            (self.vocabulary.decode(ids), float(log_probability))
            for ids, log_probability in zip(tokens, log_probabilities, strict=True)
            if np.isfinite(log_probability)
        )
        return Caption(*candidates[0], candidates)


class BeamSearch(keras.Model):
    """Beam search as a model, so that Keras compiles it for whichever backend there is."""

    def __init__(self, decoder: Decoder, options: SearchOptions) -> None:
        super().__init__()
        self.decoder = decoder
        self.options = options

    def call(self, features: Any) -> tuple[Any, Any]:
        return beam_search(self.decoder, features, **dataclasses.asdict(self.options))


def _pixels(image: str | bytes | Image.Image | np.ndarray, size: int) -> np.ndarray:
    try:
        if isinstance(image, Image.Image):
            return images.from_pil(image, size).pixels
        if isinstance(image, np.ndarray):
            return images.from_array(image, size).pixels
        data = image if isinstance(image, bytes) else storage.read_bytes(image)
        return images.decode(data, size).pixels
    except FileNotFoundError as error:
        raise UserError(f"{image}: no such image") from error
    except (OSError, images.ImageError) as error:
        name = image if isinstance(image, str) else "the image"
        raise UserError(f"{name}: {error}") from error


def _read_description(directory: str) -> dict[str, Any]:
    file = storage.join(directory, _DESCRIPTION)
    try:
        values = json.loads(storage.read_bytes(file))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{directory}: no model here (there is no {_DESCRIPTION}); "
            "make one with `captioner train`"
        ) from error
    except ValueError as error:
        raise UserError(f"{file}: not a model's description; train the model again") from error
    if values.get("format") != FORMAT:
        raise UserError(f"{file}: of another version of captioner; train the model again")
    return values


def _load_decoder(description: Description, vocabulary: Vocabulary, file: str) -> Decoder:
    decoder = description.create_decoder(vocabulary)
    try:
        with storage.local_copy(file) as local:
            decoder.load_weights(local)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"{file}: missing, or not this model's weights; train the model again"
        ) from error
    return decoder


def _fingerprints(vocabulary: Vocabulary, decoder: Decoder) -> dict[str, str]:
    return {"vocabulary": vocabulary.fingerprint, "decoder": weights_fingerprint(decoder)}
