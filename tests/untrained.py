"""Models that were never trained, but say something."""

from __future__ import annotations

import functools
from pathlib import Path

import keras

from captioner import decoders, encoders
from captioner.encoders import Encoder
from captioner.model import Captioner, Description
from captioner.vocabulary import Vocabulary
from tests import toy_features

WORDS = tuple("a red blue green dog cat ball tree".split())
SETTINGS = {
    "attention": {"units": 16, "embedding": 16, "heads": 2},
    "merge": {"units": 16, "embedding": 16},
    "transformer": {"units": 16, "layers": 2, "heads": 2},
}


@functools.cache
def grid_encoder() -> Encoder:
    """Two rows of two places."""
    layer = {"layer": "Conv1_relu", "features": "grid", "grid_size": 2}
    return encoders.create("mobilenetv2", "none", image_size=32, **layer)


def create(
    directory: Path, name: str, words: tuple[str, ...] = WORDS, encoder: Encoder | None = None
) -> str:
    """A model that was never trained, as a directory."""
    encoder = encoder or toy_features.encoder()
    keras.utils.set_random_seed(0)
    weights = f"{directory}/{name}.encoder.weights.h5"
    encoder.save_weights(weights)
    settings = decoders.all_settings(name, **SETTINGS[name])
    description = Description(name, settings, encoder.spec, encoder.feature_shape, {})
    vocabulary = Vocabulary(words, ("en", "de"))
    decoder = description.create_decoder(vocabulary)
    # Logits of fresh weights are all much the same, and then rounding decides.
    decoder.set_weights([3 * weight for weight in decoder.get_weights()])
    Captioner(description, decoder, vocabulary, weights).save(f"{directory}/{name}")
    return f"{directory}/{name}"
