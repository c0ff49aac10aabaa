"""A captioner as a TensorFlow SavedModel, which runs wherever TensorFlow does, without our code.

It has two signatures, each for any number of images at once, n:

``caption_pixels``
    pixels, uint8 [n, size, size, 3]: upright RGB images, squashed to the encoder's size (Pillow's
    bilinear filter is what it was trained with). It is the default.
``caption_features``
    features, float32 [n, *feature_shape]: as extracted.

Both give ``captions``, string [n, k], the best first, UTF-8, and ``log_probabilities``, float32
[n, k]: the natural logarithm of a caption's probability. k is how many captions the search keeps of
each image; where it finds less, they are empty, and impossible (-inf).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from captioner import corpora, storage
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.vocabulary import Vocabulary

Captions = dict[str, tf.Tensor]


def export(captioner: Captioner, output: str) -> None:
    """Write a captioner, with its encoder and its search, as a SavedModel.

    Args:
        captioner: loaded with its encoder.
        output: directory, a URI; what is in the way there is replaced.

    Raises:
        UserError: it can't be done with this backend or this search.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("only TensorFlow writes SavedModels: set KERAS_BACKEND=tensorflow")
    if captioner.search.options.sample:
        raise UserError("captions that are drawn (--sample) can't be exported: leave it out")
    size = captioner.description.encoder.image_size
    shape = captioner.description.feature_shape
    pixels = tf.TensorSpec((None, size, size, 3), tf.uint8, "pixels")
    features = tf.TensorSpec((None, *shape), tf.float32, "features")
    archive = keras.export.ExportArchive()
    archive.add_endpoint("caption_pixels", _from_pixels(captioner), [pixels])
    archive.add_endpoint("caption_features", _from_features(captioner), [features])
    with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
        archive.write_out(directory, verbose=False)
        _publish(Path(directory), output)


class Texts:
    """From token ids to texts in the graph, as `Vocabulary.decode` does it.

    Args:
        vocabulary: of the tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        words = [vocabulary.decode([id]) for id in range(len(vocabulary))]
        self._words = tf.constant(words)
        self._unspaced = np.array([word != "" and corpora.is_unspaced(word[0]) for word in words])

    def __call__(self, tokens: tf.Tensor) -> tf.Tensor:
        """Captions, string [...], of a search's tokens, int32 [..., length]."""
        words = tf.gather(self._words, tokens)
        unspaced = tf.gather(self._unspaced, tokens)
        together = tf.logical_and(unspaced[..., 1:], unspaced[..., :-1])
        # A search gives words, then the end, then padding: what stands for no word is at the end.
        joined = tf.logical_or(together, words[..., 1:] == "")
        gaps = tf.where(joined, "", " ")
        rest = tf.strings.reduce_join(gaps + words[..., 1:], axis=-1)
        return words[..., 0] + rest


def _from_features(captioner: Captioner) -> Callable[[tf.Tensor], Captions]:
    texts = Texts(captioner.vocabulary)
    search = captioner.search

    def caption_features(features: tf.Tensor) -> Captions:
        tokens, log_probabilities = search.model(features)
        kept = tokens[:, : search.kept]
        return {"captions": texts(kept), "log_probabilities": log_probabilities[:, : search.kept]}

    return caption_features


def _from_pixels(captioner: Captioner) -> Callable[[tf.Tensor], Captions]:
    caption_features = _from_features(captioner)
    network = captioner.encoder.network
    return lambda pixels: caption_features(network(pixels, training=False))


def _publish(directory: Path, output: str) -> None:
    """Copy the files; without the one that comes last there is no SavedModel, nor an older one."""
    storage.remove(storage.join(output, "saved_model.pb"))
    files = [file for file in directory.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.name == "saved_model.pb"):
        name = file.relative_to(directory).as_posix()
        storage.replace(storage.join(output, name), file.read_bytes())
