import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner import decoders
from captioner.errors import UserError
from captioner.search import BeamSearch, Constraints, Ensemble, SearchOptions, beam_search, sample
from captioner.vocabulary import END, PADDING, START, UNKNOWN

VOCABULARY_SIZE = 6
WORDS = (4, 5)
LONGEST = 4
ALL = 31  # captions of two words: 1 + 2 + 4 + 8 that end in time and 16 that don't

seeds = st.integers(0, 2**32 - 1)
penalties = st.sampled_from((0.0, 0.7, 1.5))
rules = st.builds(
    Constraints,
    forbidden=st.sampled_from(((), (4,), (4, 5))),
    min_length=st.integers(0, LONGEST),
    no_repeat_ngram=st.integers(0, 3),
)


class TableDecoder:
    """Logits by the last two words, read from the features: [batch, before, last, next]."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def begin(self, features, length):
        return (features,), (ops.zeros((ops.shape(features)[0],), "int32"),)

    def step(self, memory, state, tokens):
        (tables,), (before,) = memory, state
        image = ops.repeat(ops.arange(len(tables)), len(tokens) // len(tables))
        rows = (image * VOCABULARY_SIZE + before) * VOCABULARY_SIZE + tokens
        logits = ops.take(ops.reshape(tables, (-1, VOCABULARY_SIZE)), rows, axis=0)
        return self.scale * logits, (tokens,)


def draw(seed: int, count: int = 1) -> np.ndarray:
    shape = (count, VOCABULARY_SIZE, VOCABULARY_SIZE, VOCABULARY_SIZE)
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def search(
    tables: np.ndarray, width: int, penalty: float = 0.0, decoder=None, **options
) -> tuple[np.ndarray, np.ndarray]:
    tokens, log_probability = beam_search(
        decoder or TableDecoder(),
        ops.convert_to_tensor(tables),
        width=width,
        max_length=LONGEST,
        length_penalty=penalty,
        **options,
    )
    return np.asarray(tokens), np.asarray(log_probability)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def log_probability(table: np.ndarray, tokens: tuple[int, ...], start: int = START) -> float:
    total, before, last = 0.0, PADDING, start
    for token in tokens:
        total += log_softmax(table[before, last])[token]
        before, last = last, token
    return total


def next_words(caption: tuple[int, ...], constraints: Constraints) -> list[int]:
    """What may follow, by the rules as people would say them."""
    found = []
    size = constraints.no_repeat_ngram
    for word in WORDS:
        longer = (*caption, word)
        grams = [longer[place : place + size] for place in range(len(longer) - size + 1)]
        if word not in constraints.forbidden and (not size or len(grams) == len(set(grams))):
            found.append(word)
    if len(caption) >= constraints.min_length or not found:
        found.append(END)
    return found


def every_caption(constraints: Constraints, caption: tuple[int, ...] = ()):
    if len(caption) == LONGEST or END in caption:
        yield caption
        return
    for word in next_words(caption, constraints):
        yield from every_caption(constraints, (*caption, word))


def ranked(
    table: np.ndarray, penalty: float, constraints: Constraints | None = None
) -> list[tuple[tuple[int, ...], float]]:
    """Every caption there is, best first."""
    captions = every_caption(constraints or Constraints())
    pairs = [(caption, log_probability(table, caption)) for caption in captions]
    return sorted(pairs, key=lambda pair: -pair[1] / ((5 + len(pair[0])) / 6) ** penalty)


def unpadded(tokens: np.ndarray) -> tuple[int, ...]:
    return tuple(int(token) for token in tokens if token != PADDING)


@settings(max_examples=40, deadline=None)
@given(seeds, penalties, rules)
def test_wide_enough_it_finds_every_caption_in_order(seed, penalty, constraints):
    tables = draw(seed, 2)
    tokens, log_probabilities = search(tables, ALL, penalty, constraints=constraints)
    for image in range(2):
        captions, expected = zip(*ranked(tables[image], penalty, constraints), strict=True)
        count = len(captions)
        assert [unpadded(row) for row in tokens[image, :count]] == list(captions)
        assert log_probabilities[image, :count] == pytest.approx(expected, abs=1e-4)
        assert (tokens[image, count:] == PADDING).all()
        assert (log_probabilities[image, count:] == -np.inf).all()


@settings(max_examples=20, deadline=None)
@given(seeds, penalties, st.floats(0.25, 4))
def test_a_temperature_divides_the_logits(seed, penalty, temperature):
    table = draw(seed)
    tokens, log_probabilities = search(table, ALL, penalty, temperature=temperature)
    captions, expected = zip(*ranked(table[0] / temperature, penalty), strict=True)
    assert log_probabilities[0] == pytest.approx(expected, abs=1e-4)
    assert [unpadded(row) for row in tokens[0]] == list(captions)


def test_without_constraints_there_are_as_many_captions_as_we_think():
    assert len(ranked(draw(0)[0], 0.0)) == ALL


@settings(max_examples=20, deadline=None)
@given(seeds, penalties, rules)
def test_of_width_one_it_is_greedy(seed, penalty, constraints):
    table = draw(seed)
    caption: tuple[int, ...] = ()
    while len(caption) < LONGEST and END not in caption:
        row = table[0][(PADDING, START, *caption)[-2:]]
        caption += (max(next_words(caption, constraints), key=row.__getitem__),)
    assert unpadded(search(table, 1, penalty, constraints=constraints)[0][0, 0]) == caption


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 6), penalties, rules)
def test_what_it_finds_is_well_formed_and_rightly_scored(seed, width, penalty, constraints):
    table = draw(seed)
    tokens, log_probabilities = search(table, width, penalty, constraints=constraints)
    known = dict(ranked(table[0], penalty, constraints))
    found = [unpadded(row) for row in tokens[0][np.isfinite(log_probabilities[0])]]
    assert log_probabilities[0, : len(found)] == pytest.approx(
        [known[caption] for caption in found], abs=1e-4
    )
    assert found
    assert len(set(found)) == len(found)
    order = list(known)
    assert found == sorted(found, key=order.index)
    assert not np.isin(tokens, (START, UNKNOWN)).any()


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 4))
def test_companions_in_the_batch_change_nothing(seed, width):
    tables = draw(seed, 4)
    constraints = Constraints(no_repeat_ngram=2)
    tokens, log_probabilities = search(tables, width, 0.7, constraints=constraints)
    for image in range(4):
        alone = search(tables[image : image + 1], width, 0.7, constraints=constraints)
        assert (alone[0][0] == tokens[image]).all()
        assert alone[1][0] == pytest.approx(log_probabilities[image])


def test_where_there_are_too_few_captions_the_rest_is_nothing():
    tokens, log_probabilities = search(draw(0), ALL + 2)
    assert np.isfinite(log_probabilities[0]).sum() == ALL
    assert (tokens[0, ALL:] == PADDING).all()


def test_it_stops_once_every_caption_has_ended():
    class CountingDecoder(TableDecoder):
        steps = 0

        def step(self, memory, state, tokens):
            self.steps += 1
            return super().step(memory, state, tokens)

    decoder = CountingDecoder()
    tables = np.zeros_like(draw(0))
    tables[..., END] = 50
    beam_search(decoder, ops.convert_to_tensor(tables), width=1, max_length=40, length_penalty=0.0)
    assert decoder.steps == 1


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_captions_begin_with_the_token_that_is_asked_for(seed):
    table = draw(seed)
    tokens, log_probabilities = search(table, 3, start=UNKNOWN)
    expected = [log_probability(table[0], unpadded(row), UNKNOWN) for row in tokens[0]]
    assert log_probabilities[0] == pytest.approx(expected, abs=1e-4)
    drawn, log_probabilities = draw_captions(table, 3, start=UNKNOWN)
    expected = [log_probability(table[0], unpadded(row), UNKNOWN) for row in drawn[0]]
    assert log_probabilities[0] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(seeds, st.lists(st.sampled_from((1.0, -0.5, 2.0)), min_size=1, max_size=3))
def test_an_ensemble_takes_the_mean_of_probabilities(seed, scales):
    tables = draw(seed, 2)
    ensemble = Ensemble([TableDecoder(scale) for scale in scales])
    tokens, log_probabilities = search(tables, ALL, 0.7, ensemble)
    together = np.log(np.mean([np.exp(log_softmax(scale * tables)) for scale in scales], axis=0))
    for image in range(2):
        captions, expected = zip(*ranked(together[image], 0.7), strict=True)
        assert [unpadded(row) for row in tokens[image]] == list(captions)
        assert log_probabilities[image] == pytest.approx(expected, abs=1e-4)


def draw_captions(
    tables: np.ndarray, count: int, seed: int = 0, **options
) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(tables), count, LONGEST)
    uniforms = np.random.default_rng(seed).random(shape, dtype=np.float32)
    found = sample(TableDecoder(), *map(ops.convert_to_tensor, (tables, uniforms)), **options)
    return np.asarray(found[0]), np.asarray(found[1])


def probabilities(
    row: np.ndarray, words: list[int], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> dict[int, float]:
    """Of each word that may be drawn, the most probable first."""
    words = sorted(words, key=lambda word: -row[word])[: top_k or None]
    weights = np.exp(row[words].astype(np.float64) / temperature)
    weights /= weights.sum()
    kept = [weight for place, weight in enumerate(weights) if weights[:place].sum() < top_p]
    return {word: weight / sum(kept) for word, weight in zip(words, kept, strict=False)}


def caption_probability(
    table: np.ndarray, caption: tuple[int, ...], constraints: Constraints, **options
) -> float:
    found = 1.0
    for place, word in enumerate(caption):
        row = table[(PADDING, START, *caption[:place])[-2:]]
        words = next_words(caption[:place], constraints)
        found *= probabilities(row, words, **options).get(word, 0.0)
    return found


@pytest.mark.parametrize(
    ("constraints", "options"),
    [
        (Constraints(), {}),
        (Constraints(), {"temperature": 0.5}),
        (Constraints(), {"temperature": 3.0}),
        (Constraints(), {"top_k": 2}),
        (Constraints(), {"top_p": 0.6}),
        (Constraints(), {"temperature": 2.0, "top_k": 2, "top_p": 0.7}),
        (Constraints(min_length=2, no_repeat_ngram=2), {}),
        (Constraints(forbidden=(5,), no_repeat_ngram=3), {"top_p": 0.9}),
    ],
)
def test_captions_are_drawn_as_often_as_they_are_probable(constraints, options):
    count, tables = 20_000, draw(8, 2)
    tokens, log_probabilities = draw_captions(tables, count, constraints=constraints, **options)
    for image in range(2):
        drawn, found = np.unique(tokens[image], axis=0, return_counts=True)
        counts = dict(zip(map(unpadded, drawn), found, strict=True))
        for caption in every_caption(constraints):
            share = caption_probability(tables[image], caption, constraints, **options)
            deviation = math.sqrt(count * share * (1 - share))
            assert abs(counts.pop(caption, 0) - count * share) <= 5 * deviation
        assert not counts
        expected = [log_probability(tables[image], unpadded(row)) for row in tokens[image, :50]]
        assert log_probabilities[image, :50] == pytest.approx(expected, abs=1e-4)


def test_of_the_most_probable_word_alone_samples_are_greedy():
    tables = draw(5, 3)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        tokens, log_probabilities = draw_captions(tables, 2, **options)
        greedy, expected = search(tables, 1)
        assert (tokens == greedy).all()
        assert log_probabilities == pytest.approx(np.repeat(expected, 2, axis=1), abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_images_leave_a_large_batch_as_their_captions_end(penalty):
    tables = draw(2, 50)
    tables[::3, :, :, END] += 4  # ends soon
    tables[1::7, :, :, END] -= 20  # never does
    tokens, found = search(tables, 3, penalty)
    lengths = (tokens[:, 0] != PADDING).sum(axis=1)
    assert lengths.min() == 1 and lengths.max() == LONGEST
    alone = [search(tables[image : image + 1], 3, penalty) for image in range(len(tables))]
    assert (tokens == np.concatenate([one for one, _ in alone])).all()
    assert found == pytest.approx(np.concatenate([one for _, one in alone]), abs=1e-4)


def test_samples_of_a_large_batch_are_those_of_its_parts():
    tables = draw(3, 40)
    tables[::2, :, :, END] += 3
    uniforms = np.random.default_rng(3).random((40, 2, LONGEST), dtype=np.float32)
    together, _ = sample(TableDecoder(), *map(ops.convert_to_tensor, (tables, uniforms)))
    for first in range(0, 40, 8):
        mine = (array[first : first + 8] for array in (tables, uniforms))
        tokens, _ = sample(TableDecoder(), *map(ops.convert_to_tensor, mine))
        assert (np.asarray(tokens) == np.asarray(together)[first : first + 8]).all()


def test_companions_in_the_batch_change_no_sample():
    tables = draw(1, 4)
    uniforms = np.random.default_rng(1).random((4, 3, LONGEST), dtype=np.float32)
    together = sample(TableDecoder(), *map(ops.convert_to_tensor, (tables, uniforms)))
    for image in range(4):
        mine = (array[image : image + 1] for array in (tables, uniforms))
        tokens, _ = sample(TableDecoder(), *map(ops.convert_to_tensor, mine))
        assert (np.asarray(tokens)[0] == np.asarray(together[0])[image]).all()


@settings(max_examples=20, deadline=None)
@given(
    seeds,
    rules,
    st.lists(
        st.sampled_from((0.0, 0.5, float(np.nextafter(np.float32(1), np.float32(0))))),
        min_size=LONGEST,
        max_size=LONGEST,
    ),
    st.sampled_from((0.3, 1.0)),
)
def test_whatever_the_numbers_only_what_is_allowed_is_drawn(seed, constraints, numbers, top_p):
    uniforms = ops.convert_to_tensor(np.array(numbers, np.float32)[None, None])
    tables = ops.convert_to_tensor(draw(seed))
    tokens, _ = sample(TableDecoder(), tables, uniforms, constraints=constraints, top_p=top_p)
    assert unpadded(np.asarray(tokens)[0, 0]) in set(every_caption(constraints))


SMALL = {
    "attention": {"units": 8, "embedding": 8, "heads": 2},
    "merge": {"units": 8, "embedding": 8},
    "transformer": {"units": 8, "layers": 2, "heads": 2},
}
OPTIONS = SearchOptions(width=3, max_length=6, no_repeat_ngram=2, min_length=2)


def create(name: str) -> decoders.Decoder:
    keras.utils.set_random_seed(0)
    return decoders.create(name, 11, (2, 3, 6), **SMALL[name])


@pytest.mark.parametrize("name", decoders.DECODERS)
def test_compiled_it_finds_the_same(name):
    decoder = create(name)
    features = np.random.default_rng(0).normal(size=(4, 2, 3, 6)).astype(np.float32)
    tokens, log_probabilities = BeamSearch(decoder, OPTIONS).predict_on_batch(features)
    constraints = Constraints(no_repeat_ngram=2, min_length=2)
    expected = beam_search(
        decoder,
        ops.convert_to_tensor(features),
        width=3,
        max_length=6,
        length_penalty=OPTIONS.length_penalty,
        constraints=constraints,
    )
    assert (tokens == np.asarray(expected[0])).all()
    assert log_probabilities == pytest.approx(np.asarray(expected[1]), abs=1e-4)
    for row, its in zip(tokens[0], log_probabilities[0], strict=True):
        caption = np.array([[[START, *row[:-1]]]], np.int32)
        logits = np.asarray(decoder({"features": features[:1], "tokens": caption}))[0, 0]
        words = [place for place, token in enumerate(row) if token != PADDING]
        assert log_softmax(logits)[words, row[words]].sum() == pytest.approx(its, abs=1e-3)


@pytest.mark.parametrize("name", decoders.DECODERS)
def test_in_half_precision_it_goes_through_the_loop(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        search = BeamSearch(create(name), OPTIONS)
        tokens, log_probabilities = search.predict_on_batch(np.ones((2, 2, 3, 6), np.float32))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(log_probabilities).all()
    assert not np.isin(tokens, (START, UNKNOWN)).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidates": 6}, "--width as large"),
        ({"min_length": 31}, "no caption has from 31 to 30 words"),
        ({"top_k": 5}, "--sample"),
        ({"top_p": 0.5}, "--sample"),
        ({"temperature": 0.0}, "--width 1"),
        ({"sample": True, "top_p": 1.5}, "a share"),
        ({"sample": True, "seed": -1}, "seed"),
    ],
)
def test_options_that_can_not_be_are_a_users_mistake(options, said):
    with pytest.raises(UserError, match=said):
        SearchOptions(**options)
