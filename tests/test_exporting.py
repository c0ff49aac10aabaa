"""The SavedModel: captions as the captioner makes them, without the captioner."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from captioner import cli, decoders, exporting
from captioner.errors import UserError
from captioner.model import Caption, Captioner, Description
from captioner.search import SearchOptions
from captioner.vocabulary import Vocabulary
from tests import toy_features

WORDS = ("a", "dog", "cat", "in", "red", "ein", "hund", "一", "只", "狗", "สุ", "นั", "ข")
VOCABULARY = Vocabulary(WORDS, ("en", "zh"))
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0))
IMAGES = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in COLOURS])

LOADED = """
import json, sys
import numpy as np
import tensorflow as tf

directory, signature, images = sys.argv[1:]
signature = tf.saved_model.load(directory).signatures[signature]
((name, _),) = signature.structured_input_signature[1].items()
found = signature(**{name: tf.constant(np.load(images))})
assert "captioner" not in sys.modules
captions = [[text.decode() for text in row] for row in found["captions"].numpy()]
print(json.dumps([captions, found["log_probabilities"].numpy().tolist()]))
"""


def captioner(
    directory: Path, decoder: str = "attention", search: SearchOptions | None = None
) -> Captioner:
    """One that never learned anything, but says something."""
    encoder = toy_features.encoder()
    encoder.save_weights(f"{directory}/encoder.weights.h5")
    settings = decoders.all_settings(decoder, units=16)
    description = Description(decoder, settings, encoder.spec, encoder.feature_shape, {})
    network = description.create_decoder(VOCABULARY)
    generator = np.random.default_rng(0)
    network.set_weights([generator.normal(0, 1, value.shape) for value in network.get_weights()])
    weights = f"{directory}/encoder.weights.h5"
    return Captioner(description, network, VOCABULARY, weights, encoder, search, batch_size=4)


def loaded(directory: Path, signature: str, images: np.ndarray) -> list[Caption]:
    """What the SavedModel says in a process that has TensorFlow only."""
    np.save(directory / "images.npy", images)
    arguments = [sys.executable, "-c", LOADED, directory, signature, directory / "images.npy"]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=directory)
    found = []
    for captions, log_probabilities in zip(*json.loads(done.stdout), strict=True):
        candidates = tuple(zip(captions, log_probabilities, strict=True))
        found.append(Caption(*candidates[0], candidates))
    return found


def assert_same(found: list[Caption], expected: list[Caption]) -> None:
    assert len({caption.log_probability for caption in expected}) == len(expected)
    assert all(len(caption.text.split()) > 1 for caption in expected)
    for one, other in zip(found, expected, strict=True):
        texts, log_probabilities = zip(*one.candidates, strict=True)
        expected_texts, expected_log_probabilities = zip(*other.candidates, strict=True)
        assert texts == expected_texts
        np.testing.assert_allclose(log_probabilities, expected_log_probabilities, rtol=1e-4)


def test_pixels_are_captioned_as_by_the_captioner(tmp_path: Path) -> None:
    made = captioner(tmp_path, search=SearchOptions(min_length=4, no_repeat_ngram=1))
    exporting.export(made, str(tmp_path))
    assert_same(loaded(tmp_path, "serving_default", IMAGES), made.caption(list(IMAGES)))


@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_features_are_captioned_as_by_the_captioner(tmp_path: Path, decoder: str) -> None:
    search = SearchOptions(
        width=4,
        min_length=6,
        max_length=9,
        candidates=2,
        no_repeat_ngram=1,
        language="zh",
        forbid=("dog",),
    )
    made = captioner(tmp_path, decoder, search)
    exporting.export(made, str(tmp_path))
    features = np.random.default_rng(1).normal(0, 3, (3, 32)).astype(np.float32)
    found = loaded(tmp_path, "caption_features", features)
    assert all(len(caption.candidates) == 2 for caption in found)
    assert_same(found, made.caption_features(features))


def test_every_caption_has_the_text_that_the_vocabulary_gives_it() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(6, len(VOCABULARY), (200, 8)).astype(np.int32)
    for row, length in zip(tokens, generator.integers(0, 9, 200), strict=True):
        row[length : length + 1] = 2
        row[length + 1 :] = 0
    texts = exporting.Texts(VOCABULARY)(tokens[None])[0]
    assert [text.decode() for text in texts.numpy()] == [VOCABULARY.decode(row) for row in tokens]


def test_a_model_is_exported_by_the_command(tmp_path: Path, capsys) -> None:
    made = captioner(tmp_path)
    made.save(f"{tmp_path}/model")
    arguments = ["export", "--model", f"{tmp_path}/model", "--output", f"{tmp_path}/exported"]
    assert cli.main([*arguments, "--width", "1"]) == 0
    assert f"the SavedModel is in {tmp_path}/exported" in capsys.readouterr().out
    greedy = captioner(tmp_path, search=SearchOptions(width=1))
    found = loaded(tmp_path / "exported", "caption_pixels", IMAGES[:1])
    assert [caption.text for caption in found] == [greedy.caption([IMAGES[0]])[0].text]


def test_captions_that_are_drawn_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--sample"):
        exporting.export(captioner(tmp_path, search=SearchOptions(sample=True)), str(tmp_path))
