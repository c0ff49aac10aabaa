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

SMALL = {
    "attention": {"units": 8, "embedding": 8},
    "merge": {"units": 8, "embedding": 8},
    "transformer": {"units": 8, "layers": 2, "heads": 2},
}

each_decoder = pytest.mark.parametrize("name", decoders.DECODERS)
each_shape = pytest.mark.parametrize("shape", SHAPES)


def create(name: str, shape: tuple[int, ...], **settings: float) -> Decoder:
    keras.utils.set_random_seed(0)
    return decoders.create(name, VOCABULARY_SIZE, shape, **SMALL[name] | settings)


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
    memory, state = decoder.begin(*as_tensors(features), TOKENS.shape[1])
    steps = []
    for column in TOKENS.T:
        step, state = decoder.step(memory, state, *as_tensors(column))
        steps.append(np.asarray(step))
    assert np.stack(steps, 1) == pytest.approx(logits(decoder, features), abs=1e-4)


@each_decoder
def test_sharpened_it_says_what_it_said_at_that_temperature(name):
    decoder, features = create(name, (6,)), draw(2, 6)
    for weight in decoder.weights:  # biases too
        weight.assign(weight + 0.1)
    before = logits(decoder, features)
    decoder.sharpen(0.5)
    assert logits(decoder, features) == pytest.approx(before / 0.5, rel=1e-4)


@each_decoder
def test_words_are_read_in_portions_of_any_size(name):
    decoder, features = create(name, (6,)), draw(2, 6)
    memory, state = decoder.begin(*as_tensors(features), 9)  # more than there are
    first, state = decoder.advance(memory, state, *as_tensors(TOKENS[:, :3]))
    rest, _ = decoder.advance(memory, state, *as_tensors(TOKENS[:, 3:]))
    found = np.concatenate([first, rest], axis=1)
    assert found == pytest.approx(logits(decoder, features), abs=1e-4)


@each_decoder
@each_shape
def test_in_half_precision_it_says_much_the_same(name, shape):
    features = draw(2, *shape)
    exact = logits(create(name, shape), features)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        decoder = create(name, shape)
        found = decoder({"features": features, "tokens": TOKENS[:, None]})
        memory, state = decoder.begin(*as_tensors(features), TOKENS.shape[1])
        step, after = decoder.step(memory, state, *as_tensors(TOKENS[:, 0]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert np.asarray(found)[:, 0] == pytest.approx(exact, abs=0.03)
    assert np.asarray(step) == pytest.approx(exact[:, 0], abs=0.03)
    assert [value.dtype for value in keras.tree.flatten(after)] == [
        value.dtype for value in keras.tree.flatten(state)
    ]  # or it couldn't go round a loop


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
    memory, state = decoder.begin(*as_tensors(features), 2)
    shared = keras.tree.map_structure(lambda value: ops.repeat(value, 3, axis=0), state)
    others, apart = decoder.begin(*as_tensors(np.repeat(features, 3, axis=0)), 2)
    for words in ([4, 5, 6, 7, 8, 9], [4, 4, 5, 5, 9, 7]):
        tokens = ops.convert_to_tensor(words, "int32")
        found, shared = decoder.step(memory, shared, tokens)
        expected, apart = decoder.step(others, apart, tokens)
        assert np.asarray(found) == pytest.approx(np.asarray(expected), abs=1e-5)


@each_decoder
def test_the_first_axis_of_a_state_is_its_rows(name):
    decoder, features = create(name, (6,)), draw(2, 6)
    memory, state = decoder.begin(*as_tensors(features), 2)
    _, state = decoder.step(memory, state, ops.convert_to_tensor([4, 5], "int32"))
    turned = keras.tree.map_structure(lambda value: ops.take(value, [1, 0], axis=0), state)
    features = features[::-1]
    others, expected = decoder.begin(*as_tensors(features.copy()), 2)
    _, expected = decoder.step(others, expected, ops.convert_to_tensor([5, 4], "int32"))
    found, wanted = keras.tree.flatten(turned), keras.tree.flatten(expected)
    for mine, its in zip(found, wanted, strict=True):
        assert np.asarray(mine) == pytest.approx(np.asarray(its), abs=1e-5)


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


@pytest.mark.parametrize(
    ("name", "sees_places"), [("merge", False), ("attention", True), ("transformer", True)]
)
def test_which_decoders_tell_the_places_of_a_grid_apart(name, sees_places):
    decoder, features = create(name, (2, 3, 6)), draw(2, 2, 3, 6)
    turned = logits(decoder, features[:, ::-1])
    assert np.allclose(turned, logits(decoder, features), atol=1e-6) != sees_places


attending = pytest.mark.parametrize("name", ["attention", "transformer"])


@attending
def test_where_it_looks_is_told_by_shares_of_the_places(name):
    decoder, features = create(name, (2, 3, 6)), draw(2, 2, 3, 6)
    memory, state = decoder.begin(*as_tensors(features))
    weights = np.asarray(decoder.attend(memory, state, *as_tensors(TOKENS)))
    assert decoder.attends
    assert weights.shape == (2, 5, 6)
    assert weights.sum(-1) == pytest.approx(np.ones((2, 5)), abs=1e-5)
    assert weights.min() >= 0
    assert weights.std(axis=(0, 1)).min() > 0
    fewer = decoder.attend(memory, state, *as_tensors(TOKENS[:, :2]))
    assert np.asarray(fewer) == pytest.approx(weights[:, :2], abs=1e-5)


@attending
def test_where_it_looks_is_what_it_sees(name):
    decoder, features = create(name, (2, 3, 6), heads=1), draw(1, 2, 3, 6)
    memory, state = decoder.begin(*as_tensors(features))
    # The keys and values of the last layer, of which there may be but one.
    *others, (key, value) = memory if name == "transformer" else (memory,)
    rebuilt = lambda *pair: (*others, pair) if name == "transformer" else pair  # noqa: E731
    sharp, word = 1e6 * key, ops.convert_to_tensor([[4]], "int32")
    (weights,) = np.asarray(decoder.attend(rebuilt(sharp, value), state, word))[0]
    place = int(weights.argmax())
    assert weights[place] == pytest.approx(1)
    expected, _ = decoder.advance(rebuilt(sharp, value), state, word)
    for changed in range(6):
        there = ops.one_hot(changed, 6)[None, :, None, None]
        found, _ = decoder.advance(rebuilt(sharp, value + there), state, word)
        assert np.allclose(found, expected, atol=1e-5) == (changed != place)


@each_decoder
def test_pooled_features_are_a_grid_of_one_place(name):
    pooled, grid = create(name, (6,)), create(name, (1, 1, 6))
    features = draw(2, 6)
    assert logits(pooled, features) == pytest.approx(
        logits(grid, features[:, None, None]), abs=1e-6
    )


@pytest.mark.parametrize("name", ["attention", "transformer"])
def test_heads_share_the_units_evenly(name):
    with pytest.raises(UserError, match="8 units can't be shared among 3 heads"):
        decoders.create(name, VOCABULARY_SIZE, (6,), **SMALL[name] | {"heads": 3})


def test_an_unknown_decoder_is_a_users_mistake():
    with pytest.raises(UserError, match="attention, merge, transformer"):
        decoders.create("oracle", VOCABULARY_SIZE, (6,))
