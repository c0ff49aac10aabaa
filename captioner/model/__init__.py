"""A trained captioner as a directory: load it, and `caption` images.

The directory holds::

    model.json            what the model is: see `Description`
    vocabulary.json       see `Vocabulary.save`
    decoder.weights.h5    the decoder's weights; its layer `standardise` holds the mean and the
                          standard deviation of the training features
    encoder.weights.h5    the encoder's weights
    history.json, curves.png, model.png    for people: how training went, and the network
    tensorboard/          for people: the same and some captions, epoch by epoch
    checkpoint.npz        while training is under way: see `captioner.training.checkpoints`

``model.json`` is written last and names the fingerprints of the others, so that a directory whose
writing was cut short, or whose files come from two trainings, is not loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from captioner import images, shards, storage
from captioner.decoders import Decoder
from captioner.encoders import Encoder, weights_fingerprint
from captioner.errors import UserError
from captioner.model.trained import FORMAT, Description, Trained, load_alike
from captioner.search import Ensemble, Search, SearchOptions
from captioner.search.ensemble import members
from captioner.vocabulary import Vocabulary

__all__ = ["FORMAT", "Caption", "Captioner", "Description"]

BATCH_SIZE = 32

_DIGITS = 4  # of the weights of attention, after the point


@dataclasses.dataclass(frozen=True)
class Caption:
    """What was found for one image.

    Attributes:
        text: the best candidate.
        log_probability: natural logarithm of its probability, summed over its words and its end.
        candidates: (text, log-probability), best first by the search's own ranking.
        attention: where the model looked for each word of `text`: the weights of the grid's places,
            by word, row and column. None where it wasn't asked for.
    """

    text: str
    log_probability: float
    candidates: tuple[tuple[str, float], ...]
    attention: list[list[list[float]]] | None = None


class Captioner:
    """Images in, captions out.

    Args:
        description: what the model is; of several, the first.
        decoder: the network, with its weights, or several.
        vocabulary: of its tokens.
        encoder_weights: URI of the weights of the described encoder.
        encoder: the described encoder; without it only features can be captioned.
        search: how captions are searched for.
        batch_size: images at a time. Less are filled up, so that one graph serves all.

    Attributes:
        description, decoder, vocabulary, encoder, batch_size: as given.
        search: the search for captions.
        language: of the captions, a BCP 47 tag, or empty where the model knows none.
        fingerprint: a short hash of all that decides the captions: the model and the search.
    """

    def __init__(
        self,
        description: Description,
        decoder: Decoder | Ensemble,
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
        self.search = Search(decoder, search, vocabulary)
        self.language = self.search.language
        self.fingerprint = shards.fingerprint(
            {
                "decoders": sorted(map(weights_fingerprint, members(decoder))),
                "vocabulary": vocabulary.fingerprint,
                "encoder": description.encoder.fingerprint,
                "search": dataclasses.asdict(search) | {"language": self.language},
            }
        )

    @classmethod
    def load(
        cls,
        *directories: str,
        search: SearchOptions | None = None,
        encoder: bool = True,
        batch_size: int = BATCH_SIZE,
        engine: str = "auto",
    ) -> Captioner:
        """The captioner that was saved in a directory; or an ensemble of those in several.

        Args:
            directories: URIs.
            search: how to search for captions.
            encoder: whether to load the encoder too, which images need and features don't.
            batch_size: images at a time.
            engine: what runs the encoder, of `encoders.engines.ENGINES`.

        Raises:
            UserError: there is no model, or not a whole one of this version; or several have
                different words or encoders.
        """
        models = load_alike(directories)
        decoders = [model.decoder for model in models]
        decoder = Ensemble(decoders) if len(models) > 1 else decoders[0]
        first = models[0]
        spec, weights = first.description.encoder, first.encoder_weights
        loaded = Encoder.load(spec, weights, engine) if encoder else None
        return cls(
            first.description,
            decoder,
            first.vocabulary,
            first.encoder_weights,
            loaded,
            search,
            batch_size,
        )

    def searching(self, search: SearchOptions) -> Captioner:
        """The same captioner with another search; both have the networks.

        Raises:
            UserError: as of `Search`.
        """
        return Captioner(
            self.description,
            self.decoder,
            self.vocabulary,
            self._encoder_weights,
            self.encoder,
            search,
            self.batch_size,
        )

    def save(self, directory: str) -> None:
        """Write the model's files to `directory`, a URI, replacing those that are there."""
        if isinstance(self.decoder, Ensemble):
            raise ValueError("an ensemble is saved as the models that it is of")
        weights = self._encoder_weights
        Trained(self.description, self.decoder, self.vocabulary, weights).save(directory)

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
            captions += self.caption_pixels(np.stack([pixels_of(image, size) for image in chunk]))
        return captions

    def caption_pixels(self, pixels: np.ndarray) -> list[Caption]:
        """Caption images of the encoder's size: uint8 [count, size, size, 3], RGB."""
        if self.encoder is None:
            raise ValueError("the captioner was loaded without its encoder")
        captions: list[Caption] = []
        for batch, count in self._batches(pixels):
            captions += self._caption(self.encoder.encode(batch), batch)[:count]
        return captions

    def caption_features(self, features: np.ndarray) -> list[Caption]:
        """Caption images by their features: any floats [count, *feature_shape]."""
        captions: list[Caption] = []
        for batch, count in self._batches(features.astype(np.float32, copy=False)):
            captions += self._caption(batch, batch)[:count]
        return captions

    def _batches(self, rows: np.ndarray) -> Iterable[tuple[np.ndarray, int]]:
        """Full batches, the last one filled with its last row, and how many rows are real."""
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            missing = self.batch_size - len(batch)
            yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]), len(batch)

    def _caption(self, features: np.ndarray, given: np.ndarray) -> list[Caption]:
        """Caption a full batch by its features; `given` is what these were made of."""
        tokens, log_probabilities = self.search(features, given)
        maps = self.search.attend(features, tokens[:, 0])
        found = zip(tokens, log_probabilities, maps, strict=True)
        return [self._to_caption(*parts) for parts in found]

    def _to_caption(
        self, tokens: np.ndarray, log_probabilities: np.ndarray, weights: np.ndarray | None
    ) -> Caption:
        """From tokens [width, length], log-probabilities [width] and [words, rows, columns]."""
        candidates = tuple(
            (self.vocabulary.decode(ids), float(log_probability))
            for ids, log_probability in zip(tokens, log_probabilities, strict=True)
            if np.isfinite(log_probability)
        )
        attention = None if weights is None else weights.astype(float).round(_DIGITS).tolist()
        return Caption(*candidates[0], candidates, attention)


def pixels_of(image: str | bytes | Image.Image | np.ndarray, size: int) -> np.ndarray:
    """An image as `Captioner.caption` takes it, as an encoder does: uint8 [size, size, 3], RGB.

    Raises:
        UserError: it can't be read.
    """
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
