import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner.search import beam_search
from captioner.vocabulary import END, PADDING, START, UNKNOWN

VOCABULARY_SIZE = 6
WORDS = (4, 5)
LONGEST = 3
ALL = 15  # captions of two words: 1 + 2 + 4 that end in time and 8 that don't

seeds = st.integers(0, 2**32 - 1)
penalties = st.sampled_from((0.0, 0.7, 1.5))


class TableDecoder:
    """Logits by the last two words, read from the features: [batch, before, last, next]."""

    def begin(self, features, length):
        return (features,), (ops.zeros((ops.shape(features)[0],), "int32"),)

    def step(self, memory, state, tokens):
        (tables,), (before,) = memory, state
        image = ops.repeat(ops.arange(len(tables)), len(tokens) // len(tables))
        rows = (image * VOCABULARY_SIZE + before) * VOCABULARY_SIZE + tokens
        return ops.take(ops.reshape(tables, (-1, VOCABULARY_SIZE)), rows, axis=0), (tokens,)


def draw(seed: int, count: int = 1) -> np.ndarray:
    shape = (count, VOCABULARY_SIZE, VOCABULARY_SIZE, VOCABULARY_SIZE)
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def search(tables: np.ndarray, width: int, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    tokens, log_probability = beam_search(
        TableDecoder(),
        ops.convert_to_tensor(tables),
        width=width,
        max_length=LONGEST,
        length_penalty=penalty,
    )
    return np.asarray(tokens), np.asarray(log_probability)


def log_probability(table: np.ndarray, tokens: tuple[int, ...]) -> float:
    total, before, last = 0.0, PADDING, START
    for token in tokens:
        row = table[before, last].astype(np.float64)
        total += row[token] - np.log(np.exp(row).sum())
        before, last = last, token
    return total


def ranked(table: np.ndarray, penalty: float) -> list[tuple[tuple[int, ...], float]]:
    """Every caption there is, best first."""
    captions = [
        (*words, END)
        for length in range(LONGEST)
        for words in itertools.product(WORDS, repeat=length)
    ]
    captions += itertools.product(WORDS, repeat=LONGEST)
    pairs = [(caption, log_probability(table, caption)) for caption in captions]
    return sorted(pairs, key=lambda pair: -pair[1] / ((5 + len(pair[0])) / 6) ** penalty)


def unpadded(tokens: np.ndarray) -> tuple[int, ...]:
    return tuple(int(token) for token in tokens if token != PADDING)


@settings(max_examples=20, deadline=None)
@given(seeds, penalties)
def test_wide_enough_it_finds_every_caption_in_order(seed, penalty):
    tables = draw(seed, 2)
    tokens, log_probabilities = search(tables, ALL, penalty)
    for image in range(2):
        captions, expected = zip(*ranked(tables[image], penalty), strict=True)
        assert [unpadded(row) for row in tokens[image]] == list(captions)
        assert log_probabilities[image] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(seeds, penalties)
def test_of_width_one_it_is_greedy(seed, penalty):
    table = draw(seed)
    caption: tuple[int, ...] = ()
    while len(caption) < LONGEST and END not in caption:
        last_two = (PADDING, START, *caption)[-2:]
        caption += (max((END, *WORDS), key=lambda word: table[0][last_two][word]),)
    assert unpadded(search(table, 1, penalty)[0][0, 0]) == caption


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 6), penalties)
def test_what_it_finds_is_well_formed_and_rightly_scored(seed, width, penalty):
    table = draw(seed)
    tokens, log_probabilities = search(table, width, penalty)
    known = dict(ranked(table[0], penalty))
    found = [unpadded(row) for row in tokens[0]]
    assert log_probabilities[0] == pytest.approx([known[caption] for caption in found], abs=1e-4)
    assert len(set(found)) == width
    order = list(known)
    assert found == sorted(found, key=order.index)
    assert not np.isin(tokens, (START, UNKNOWN)).any()


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 4))
def test_companions_in_the_batch_change_nothing(seed, width):
    tables = draw(seed, 4)
    tokens, log_probabilities = search(tables, width, 0.7)
    for image in range(4):
        alone = search(tables[image : image + 1], width, 0.7)
        assert (alone[0][0] == tokens[image]).all()
        assert alone[1][0] == pytest.approx(log_probabilities[image])


def test_where_there_are_too_few_captions_the_rest_is_nothing():
    tokens, log_probabilities = search(draw(0), ALL + 2, 0.0)
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
