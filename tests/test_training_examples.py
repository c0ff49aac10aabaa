"""From features to batches: what is trained on, and in what order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from captioner.records import FeatureDataset
from captioner.training import examples
from captioner.training.examples import Batches
from captioner.vocabulary import PADDING, START, Vocabulary
from tests import toy_features, toy_training


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy_training.write_features(tmp_path_factory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_caption_comes_once_an_epoch_in_another_order(features, in_memory):
    dataset = FeatureDataset.load(features)
    images = examples.FeatureImages(dataset, "train", memory=2**30 if in_memory else 500)
    survey = examples.survey(images.in_order().as_numpy_iterator(), 32)
    texts = [text for captions in survey.captions for text, _ in captions]
    vocabulary = survey.vocabulary(min_count=1)
    batches = Batches(vocabulary, (5, 8), 7)
    epochs = []
    for seed in (0, 1, 0):
        steps = list(batches.of(images.shuffled(seed)).as_numpy_iterator())
        rows = [row for inputs, _, _ in steps for rows in inputs["tokens"] for row in rows]
        epochs.append([vocabulary.decode(row) for row in rows if row[0] == START])
        assert len(steps) == batches.steps(survey.captions)
    expected = Counter(vocabulary.decode(vocabulary.encode(text)) for text in texts)
    assert Counter(epochs[0]) == Counter(epochs[1]) == expected
    assert epochs[0] != epochs[1]
    assert epochs[0] == epochs[2]


def test_a_caption_stays_with_its_image(features):
    dataset = FeatureDataset.load(features)
    vocabulary = Vocabulary.build(toy_features.THINGS + toy_features.COLOURS, 1)
    shuffled = examples.FeatureImages(dataset, "train").shuffled(0)
    for inputs, following, mask in Batches(vocabulary, (5, 8), 16).of(shuffled).as_numpy_iterator():
        assert inputs["features"].dtype == np.float16
        assert (inputs["tokens"][..., 1:] == following[..., :-1]).all()
        assert (mask == (following != PADDING)).all()
        for rows, values in zip(following, inputs["features"], strict=True):
            thing = toy_features.THINGS[values[:4].argmax()]
            told = [vocabulary.decode(row).split() for row in rows if row.any()]
            assert len(told) == 2 and all(thing in words for words in told)


def test_an_image_with_many_captions_comes_several_times():
    vocabulary = Vocabulary.build(["a dog"], 1)
    record = {"features": [1.0], "captions": ["a dog"] * 7 + ["..."], "languages": [""] * 8}
    signature = {
        "features": tf.TensorSpec([1], tf.float32),
        "captions": tf.TensorSpec([None], tf.string),
        "languages": tf.TensorSpec([None], tf.string),
    }
    records = tf.data.Dataset.from_generator(lambda: [record], output_signature=signature)
    batches = Batches(vocabulary, (4,), 8)
    ((inputs, _, weights),) = batches.of(records).as_numpy_iterator()
    assert inputs["tokens"].shape == (2, 5, 3)
    assert weights.sum(axis=-1).tolist() == [[3] * 5, [3, 3, 0, 0, 0]]
    assert batches.steps([[("a dog", "")] * 7]) == 1


def test_captions_are_padded_to_few_lengths_and_cut_at_the_longest():
    counts = np.array([4] * 10 + [5] * 10 + [8] * 10 + [50] * 10)
    assert examples.length_classes(counts, 40) == (4, 5, 8, 40)
    assert examples.length_classes(np.arange(1, 101), 99) == (25, 50, 75, 90, 98, 99)
    assert examples.length_classes(np.array([6, 6, 6]), 40) == (6,)


@pytest.mark.parametrize("shape", [(32,), (2, 3, 32)])
def test_the_survey_tells_each_channels_mean_and_variance(tmp_path, shape):
    dataset = toy_features.write(f"{tmp_path}/features", {"train": 9}, shape)
    records = list(dataset.records("train").as_numpy_iterator())
    cells = np.concatenate([record["features"].reshape(-1, 32) for record in records])
    survey = examples.survey(records, 32)
    assert survey.mean == pytest.approx(cells.astype(np.float64).mean(0))
    assert survey.variance == pytest.approx(cells.astype(np.float64).var(0))
    assert len(survey.captions) == 9


def suiting(survey: examples.Survey, shape: tuple[int, ...]) -> Batches:
    vocabulary = survey.vocabulary(min_count=1)
    return Batches.suiting(vocabulary, survey.captions, shape, images=4, longest=8)


@pytest.mark.parametrize(("shape", "size", "at_once"), [((32,), 8, 1), ((2, 3, 32), 4, 5)])
def test_captions_of_a_vector_come_alone_and_those_of_a_grid_together(
    tmp_path, shape, size, at_once
):
    dataset = toy_features.write(f"{tmp_path}/features", {"train": 30}, shape)
    images = examples.FeatureImages(dataset, "train")
    survey = examples.survey(images.in_order().as_numpy_iterator(), 32)
    batches = suiting(survey, shape)
    steps = list(batches.of(images.shuffled(0), seed=0).as_numpy_iterator())
    assert len(steps) == batches.steps(survey.captions)
    assert max(len(following) for _, following, _ in steps) == size
    assert all(following.shape[1] == at_once for _, following, _ in steps)
    told = Counter(
        len(row[row != PADDING]) > 0
        for _, rows, _ in steps
        for row in rows.reshape(-1, rows.shape[-1])
    )
    assert told[True] == sum(map(len, survey.captions))


def test_captions_that_come_alone_are_among_those_of_other_images(features):
    images = examples.FeatureImages(FeatureDataset.load(features), "train")
    vocabulary = Vocabulary.build(toy_features.THINGS + toy_features.COLOURS, 1)
    batches = Batches(vocabulary, (8,), 12, at_once=1)

    def neighbours(seed: int | None) -> int:
        """How often a caption comes right after another of its image."""
        rows = [
            row
            for inputs, *_ in batches.of(images.in_order(), seed).as_numpy_iterator()
            for row in inputs["features"]
        ]
        return sum(np.array_equal(a, b) for a, b in zip(rows, rows[1:], strict=False))

    assert neighbours(0) == neighbours(0) < neighbours(None) / 2
