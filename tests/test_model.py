import dataclasses
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import training
from captioner.errors import UserError
from captioner.model import Caption, Captioner
from captioner.search import SearchOptions
from captioner.training import TrainingOptions
from captioner.vocabulary import Vocabulary
from tests import toy_features

GOLDEN = f"{Path(__file__).parent}/golden/model"
OPTIONS = TrainingOptions(
    settings={"units": 16, "embedding": 16, "heads": 2},
    dropout=0.1,
    epochs=10,
    batch_size=8,
    learning_rate=0.02,
    min_count=1,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A trained model, whose features are gone."""
    directory = tmp_path_factory.mktemp("model")
    toy_features.write(f"{directory}/features", {"train": 96, "dev": 12})
    training.train(f"{directory}/features", f"{directory}/model", OPTIONS)
    shutil.rmtree(directory / "features")
    return f"{directory}/model"


@pytest.fixture(scope="module")
def captioner(model) -> Captioner:
    return Captioner.load(model, batch_size=4)


@pytest.fixture
def copy(model, tmp_path) -> str:
    """A copy of the model to spoil."""
    return shutil.copytree(model, f"{tmp_path}/copy")


def same(one: Caption, other: Caption) -> bool:
    """Equal up to rounding, which the place in a batch may change."""
    texts, log_probabilities = zip(*one.candidates, strict=True)
    other_texts, expected = zip(*other.candidates, strict=True)
    return texts == other_texts and np.allclose(log_probabilities, expected, atol=1e-4)


def every_picture() -> list[tuple[int, int]]:
    return [(thing, colour) for thing in range(4) for colour in range(3)]


def test_it_says_what_is_there(captioner):
    features = np.stack([toy_features.features(*picture) for picture in every_picture()])
    for picture, caption in zip(every_picture(), captioner.caption_features(features), strict=True):
        right = [text.lower().rstrip(".") for text in toy_features.captions(*picture)]
        assert caption.text in right
        assert (caption.text, caption.log_probability) == caption.candidates[0]
        assert len(caption.candidates) == SearchOptions().width
        assert caption.log_probability < 0


def test_companions_change_nothing(captioner):
    features = np.stack([toy_features.features(*picture) for picture in every_picture()])
    together = captioner.caption_features(features)
    for row, caption in zip(features, together, strict=True):
        assert same(captioner.caption_features(row[None])[0], caption)
    assert captioner.caption_features(features[:0]) == []


def test_an_image_comes_in_any_form(captioner, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    file = tmp_path / "picture.png"
    Image.fromarray(pixels).save(file)
    forms = [str(file), file.read_bytes(), Image.open(file), pixels]
    first, *others = captioner.caption(forms)
    encoded = toy_features.encoder().encode(pixels[None])
    others += captioner.caption_pixels(pixels[None]) + captioner.caption_features(encoded)
    assert len(others) == 5
    assert all(same(other, first) for other in others)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_an_image_that_cant_be_read_is_a_users_mistake(captioner, tmp_path, content):
    file = tmp_path / "picture.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match="picture.png: "):
        captioner.caption([str(file)])


def test_without_its_encoder_it_takes_features_only(model):
    captioner = Captioner.load(model, encoder=False)
    assert captioner.encoder is None
    assert captioner.caption_features(toy_features.features(0, 0)[None])
    with pytest.raises(ValueError, match="without its encoder"):
        captioner.caption_pixels(np.zeros((1, 32, 32, 3), np.uint8))


def test_saved_and_loaded_it_is_the_same(captioner, tmp_path):
    captioner.save(f"{tmp_path}/again")
    again = Captioner.load(f"{tmp_path}/again", batch_size=4)
    features = toy_features.features(1, 2)[None]
    assert again.caption_features(features) == captioner.caption_features(features)
    assert again.fingerprint == captioner.fingerprint
    assert again.description == captioner.description


def test_the_fingerprint_covers_model_and_search(captioner, model):
    searches = [
        SearchOptions(width=1),
        SearchOptions(max_length=9),
        SearchOptions(length_penalty=0),
    ]
    found = {Captioner.load(model, search=search, encoder=False).fingerprint for search in searches}
    assert (
        len(found | {captioner.fingerprint, Captioner.load(GOLDEN, encoder=False).fingerprint}) == 5
    )


def test_the_search_is_as_asked(model):
    features = toy_features.features(0, 0)[None]
    search = SearchOptions(width=2, max_length=3)
    (caption,) = Captioner.load(model, search=search, encoder=False).caption_features(features)
    assert len(caption.candidates) == 2
    assert len(caption.text.split()) <= 3


def test_beam_can_share_it(captioner):
    assert weakref.ref(captioner)() is captioner


def test_features_of_another_encoder_are_refused(captioner):
    spec = captioner.description.encoder
    captioner.description.check_encoder(spec)
    with pytest.raises(UserError, match="another encoder"):
        captioner.description.check_encoder(dataclasses.replace(spec, weights="others"))


def test_where_no_model_is_the_user_is_told(tmp_path):
    with pytest.raises(UserError, match="captioner train"):
        Captioner.load(f"{tmp_path}/nothing")


each_file = pytest.mark.parametrize(
    "name", ["model.json", "vocabulary.json", "decoder.weights.h5", "encoder.weights.h5"]
)


@each_file
def test_a_model_without_one_of_its_files_is_refused(copy, name):
    Path(copy, name).unlink()
    with pytest.raises(UserError, match="there|missing"):
        Captioner.load(copy)


@each_file
def test_a_model_with_half_a_file_is_refused(copy, name):
    data = Path(copy, name).read_bytes()
    Path(copy, name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=name):
        Captioner.load(copy)


def test_files_of_two_trainings_are_refused_together(copy, captioner):
    words = [captioner.vocabulary.decode([id]) for id in range(4, len(captioner.vocabulary))]
    Vocabulary(words[::-1]).save(f"{copy}/vocabulary.json")
    with pytest.raises(UserError, match="different trainings"):
        Captioner.load(copy)
    captioner.vocabulary.save(f"{copy}/vocabulary.json")
    Captioner.load(copy, encoder=False)
    other = captioner.description.create_decoder(captioner.vocabulary)
    other.save_weights(f"{copy}/decoder.weights.h5")
    with pytest.raises(UserError, match="different trainings"):
        Captioner.load(copy, encoder=False)


def test_a_model_of_another_version_is_refused(copy):
    file = Path(copy) / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(UserError, match="another version"):
        Captioner.load(copy)


@pytest.mark.parametrize("values", [[], {"format": 1}, {"format": 1, "decoder": 3, "encoder": 4}])
def test_a_description_that_is_none_is_refused(copy, values):
    known = json.loads((Path(copy) / "model.json").read_text())
    if values and "decoder" in values:
        values = {**known, **values}
    (Path(copy) / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="train the model again"):
        Captioner.load(copy, encoder=False)


def test_the_golden_model_still_loads_and_says_the_same():
    captioner = Captioner.load(GOLDEN, encoder=False)
    pictures = ((0, 0), (1, 2), (3, 1))
    features = np.stack([toy_features.features(*picture, (8,)) for picture in pictures])
    assert [caption.text for caption in captioner.caption_features(features)] == [
        "a red dog",
        "a green cat",
        "there is a tree in blue",
    ]
