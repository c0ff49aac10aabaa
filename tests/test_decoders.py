import keras
import numpy as np
import pytest
from keras import ops

from captioner import decoders
from captioner.decoders import Decoder
from captioner.errors import UserError
from captioner.vocabulary import UNKNOWN

VOCABULARY_SIZE = 11
SHAPES = ((6,), (2, 3, 6))
TOKENS = np.array([[1, 4, 5, 6, 2], [1, 10, 9, 9, 8]], np.int32)

each_decoder = pytest.mark.parametrize("name", decoders.DECODERS)
each_shape = pytest.mark.parametrize("shape", SHAPES)


def create(name: str, shape: tuple[int, ...], **settings: float) -> Decoder:
    keras.utils.set_random_seed(0)
    return decoders.create(name, VOCABULARY_SIZE, shape, units=8, embedding=8, **settings)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def logits(
    decoder: Decoder, features: np.ndarray, tokens: np.ndarray = TOKENS, **call
) -> np.ndarray:
    found = decoder({"features": features, "tokens": tokens[:, None]}, **call)
    return np.asarray(found)[:, 0]


def as_tensors(*arrays: np.ndarray) -> list:
    return [ops.convert_to_tensor(array) for array in arrays]


@each_decoder
@each_shape
def test_word_by_word_gives_the_logits_of_the_whole_caption(name, shape):
    decoder, features = create(name, shape), draw(2, *shape)
    memory, state = decoder.begin(*as_tensors(features))
    steps = []
    for column in TOKENS.T:
        step, state = decoder.step(memory, state, *as_tensors(column))
        steps.append(np.asarray(step))
    assert np.stack(steps, 1) == pytest.approx(logits(decoder, features), abs=1e-4)


@each_decoder
@each_shape
def test_what_follows_never_matters(name, shape):
    decoder, features = create(name, shape), draw(2, *shape)
    padded = np.pad(TOKENS, ((0, 0), (0, 3)), constant_values=7)
    length = TOKENS.shape[1]
    found = logits(decoder, features, padded)
    assert found[:, :length] == pytest.approx(logits(decoder, features), abs=1e-5)
    assert not np.allclose(found[:, -1], found[:, length - 1])


@each_decoder
@each_shape
def test_captions_of_one_image_do_not_matter_to_each_other(name, shape):
    decoder, features = create(name, shape), draw(1, *shape)
    together = decoder({"features": features, "tokens": TOKENS[None]})
    apart = logits(decoder, np.repeat(features, 2, axis=0))
    assert np.asarray(together)[0] == pytest.approx(apart, abs=1e-5)


@each_decoder
@each_shape
def test_the_picture_matters(name, shape):
    decoder = create(name, shape)
    assert not np.allclose(logits(decoder, draw(2, *shape)), logits(decoder, -draw(2, *shape)))


@each_decoder
@each_shape
def test_hypotheses_share_their_images_memory(name, shape):
    decoder, features = create(name, shape), draw(2, *shape)
    memory, state = decoder.begin(*as_tensors(features))
    threefold = [ops.repeat(value, 3, axis=0) for value in state]
    words = np.array([4, 5, 6, 7, 8, 9], np.int32)
    shared, _ = decoder.step(memory, tuple(threefold), *as_tensors(words))
    repeated = decoder.begin(*as_tensors(np.repeat(features, 3, axis=0)))
    apart, _ = decoder.step(*repeated, *as_tensors(words))
    assert np.asarray(shared) == pytest.approx(np.asarray(apart), abs=1e-5)


@each_decoder
def test_features_are_standardised(name):
    decoder, features = create(name, (6,)), draw(50, 6)
    tokens = np.repeat(TOKENS[:1], 50, axis=0)
    decoder.standardise.set_statistics(features.mean(0), features.var(0))
    plain = logits(decoder, features, tokens)
    other = 1000 * features + 300
    decoder.standardise.set_statistics(other.mean(0), other.var(0))
    assert logits(decoder, other, tokens) == pytest.approx(plain, abs=1e-3)


@each_decoder
def test_a_channel_without_spread_is_only_centred(name):
    decoder, features = create(name, (6,)), draw(2, 6)
    mean, variance = np.full(6, 5.0), np.ones(6)
    variance[0] = 0
    decoder.standardise.set_statistics(mean, variance)
    without = logits(decoder, features)
    variance[0] = (5.0 * 2**-11) ** 2  # the rounding of float16
    decoder.standardise.set_statistics(mean, variance)
    assert np.isfinite(without).all()
    assert logits(decoder, features) == pytest.approx(without)


def test_features_that_are_all_the_same_stay_finite():
    decoder = create("attention", (6,))
    decoder.standardise.set_statistics(np.zeros(6), np.zeros(6))
    assert np.isfinite(logits(decoder, np.zeros((2, 6), np.float32))).all()


@each_decoder
def test_only_in_training_are_words_left_out(name):
    features, unknown = draw(2, 6), np.where(TOKENS > UNKNOWN, UNKNOWN, TOKENS)
    decoder = create(name, (6,), dropout=0.0, word_dropout=1.0)
    assert logits(decoder, features, training=True) == pytest.approx(
        logits(decoder, features, unknown)
    )
    whole = create(name, (6,), dropout=0.0, word_dropout=0.0)
    assert logits(decoder, features) == pytest.approx(logits(whole, features))


@pytest.mark.parametrize(("name", "sees_places"), [("merge", False), ("attention", True)])
def test_which_decoders_tell_the_places_of_a_grid_apart(name, sees_places):
    decoder, features = create(name, (2, 3, 6)), draw(2, 2, 3, 6)
    turned = logits(decoder, features[:, ::-1])
    assert np.allclose(turned, logits(decoder, features), atol=1e-6) != sees_places


@each_decoder
def test_pooled_features_are_a_grid_of_one_place(name):
    pooled, grid = create(name, (6,)), create(name, (1, 1, 6))
    features = draw(2, 6)
    assert logits(pooled, features) == pytest.approx(
        logits(grid, features[:, None, None]), abs=1e-6
    )


def test_an_unknown_decoder_is_a_users_mistake():
    with pytest.raises(UserError, match="attention, merge"):
        create("oracle", (6,))
