"""A search as compiled code: features in, the captions that are kept out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from captioner.errors import UserError
from captioner.search.attention import AttentionMaps
from captioner.search.beam import beam_search, scores
from captioner.search.constraints import Constraints
from captioner.search.ensemble import AnyDecoder
from captioner.search.options import SearchOptions
from captioner.search.sampling import sample
from captioner.vocabulary import END, PADDING, START, Vocabulary


class BeamSearch(keras.Model):
    """Beam search as a model, so that Keras compiles it for whichever backend there is.

    Args:
        decoder: what knows the next word's logits.
        options: how to search.
        forbidden: token ids that are never said.
        start: the token that captions begin with.
    """

    def __init__(
        self,
        decoder: AnyDecoder,
        options: SearchOptions,
        forbidden: tuple[int, ...] = (),
        start: int = START,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.options = options
        self.constraints = Constraints(forbidden, options.min_length, options.no_repeat_ngram)
        self.start = start

    def call(self, features: Any) -> tuple[Any, Any]:
        """As of `beam_search`."""
        return beam_search(
            self.decoder,
            features,
            width=self.options.width,
            max_length=self.options.max_length,
            length_penalty=self.options.length_penalty,
            temperature=self.options.temperature,
            constraints=self.constraints,
            start=self.start,
        )


class Sampling(BeamSearch):
    """As `BeamSearch`, but captions are drawn."""

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """As of `sample`, ranked as `beam_search` does it.

        Args:
            inputs: "features", and "uniforms" for `sample`.
        """
        tokens, log_probability = sample(
            self.decoder,
            inputs["features"],
            inputs["uniforms"],
            temperature=self.options.temperature,
            top_k=self.options.top_k,
            top_p=self.options.top_p,
            constraints=self.constraints,
            start=self.start,
        )
        order = ops.argsort(-scores(tokens, log_probability, self.options.length_penalty), axis=1)
        log_probability = ops.take_along_axis(log_probability, order, axis=1)
        return ops.take_along_axis(tokens, order[..., None], axis=1), log_probability


class Search:
    """Captions a batch of images, as the options say.

    Args:
        decoder: what knows the next word's logits.
        options: how to search.
        vocabulary: of the decoder's tokens.

    Attributes:
        model: the compiled search.
        options: as given.
        kept: how many captions of an image, at most.
        language: of the captions, a BCP 47 tag, or empty where the vocabulary knows none.

    Raises:
        UserError: what is to be forbidden is not a word, the vocabulary lacks the language, or
            there is no attention to tell of.
    """

    def __init__(self, decoder: AnyDecoder, options: SearchOptions, vocabulary: Vocabulary) -> None:
        self.language = options.language or vocabulary.language
        starts = map(vocabulary.start, vocabulary.languages)
        words = (_id(word, vocabulary, self.language) for word in options.forbid)
        kind = Sampling if options.sample else BeamSearch
        start = vocabulary.start(self.language)
        self.model = kind(decoder, options, (*starts, *words), start)
        self._maps = AttentionMaps(decoder, start) if options.attention else None
        self.options = options
        self.kept = options.candidates or options.width

    def __call__(self, features: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The captions that are kept of each image.

        Args:
            features: float32 [batch, *feature_shape].
            images: what was given of each image, [batch, ...]; where captions are drawn, equal
                bytes draw the same, whatever else is in the batch.

        Returns:
            Tokens, int32 [batch, kept, length], best first, and log-probabilities, float32
            [batch, kept]; see `beam_search`.
        """
        inputs: Any = features
        if self.options.sample:
            inputs = {"features": features, "uniforms": np.stack([*map(self._uniforms, images)])}
        tokens, log_probabilities = self.model.predict_on_batch(inputs)
        return tokens[:, : self.kept], log_probabilities[:, : self.kept]

    def attend(self, features: np.ndarray, tokens: np.ndarray) -> Sequence[np.ndarray | None]:
        """Where the model looks for each word of a caption of each image.

        Args:
            features: float32 [batch, *feature_shape].
            tokens: int32 [batch, length], as found.

        Returns:
            Of each image the weights of its places, float32 [words, rows, columns]; None where they
            were not asked for.
        """
        if self._maps is None:
            return [None] * len(tokens)
        maps = self._maps.predict_on_batch({"features": features, "tokens": tokens})
        counts = np.sum((tokens != END) & (tokens != PADDING), axis=1)
        return [weights[:count] for weights, count in zip(maps, counts, strict=True)]

    def _uniforms(self, image: np.ndarray) -> np.ndarray:
        generator = np.random.default_rng((self.options.seed, zlib.crc32(image.tobytes())))
        shape = (self.options.width, self.options.max_length)
        return generator.random(shape, dtype=np.float32)


def _id(word: str, vocabulary: Vocabulary, language: str) -> int:
    """Of a word; that of the unknown word if the vocabulary hasn't got it."""
    ids = vocabulary.encode(word, language)[1:-1]
    if len(ids) != 1:
        raise UserError(f"'{word}' can't be forbidden: it is not one word")
    return ids[0]
