"""Self-critical training: what rewards teach, and that they rise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from captioner import training
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions
from captioner.training.self_critical import advantages, trimmed
from captioner.vocabulary import PADDING
from tests import toy_features, toy_training

OPTIONS = dataclasses.replace(toy_training.OPTIONS, self_critical=True, learning_rate=0.01)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy_training.write_features(tmp_path_factory)


REWARDS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(2, 6)),
    elements=st.floats(0, 10, width=32),
)


@given(REWARDS)
def test_a_sample_is_as_good_as_it_is_better_than_the_mean_of_the_others(rewards) -> None:
    found = advantages(rewards)
    for image, row in enumerate(rewards):
        for sample, reward in enumerate(row):
            others = np.delete(row, sample).mean()
            assert found[image, sample] == pytest.approx(reward - others, abs=1e-4)


@given(REWARDS, st.integers(0, 5))
def test_advantages_say_nothing_of_how_hard_an_image_is(rewards, easier) -> None:
    found = advantages(rewards)
    assert found.sum(axis=1) == pytest.approx(0, abs=1e-3)
    assert advantages(rewards + easier) == pytest.approx(found, abs=1e-3)
    assert (advantages(np.full_like(rewards, easier)) == 0).all()


@given(st.lists(st.integers(1, 39), min_size=4, max_size=4))
def test_only_padding_is_trimmed(counts) -> None:
    samples = np.array([[3] * count + [PADDING] * (39 - count) for count in counts], np.int32)
    found = trimmed(samples.reshape(2, 2, 39))
    assert found.shape[-1] in (8, 16, 24, 32, 39) and found.shape[-1] - max(counts) < 8
    assert (np.count_nonzero(found, axis=-1).ravel() == counts).all()


def test_without_a_model_to_go_on_from_it_is_refused(features, tmp_path) -> None:
    with pytest.raises(UserError, match="--start"):
        training.train(features, f"{tmp_path}/model", OPTIONS)
    assert not (tmp_path / "model").exists()


def test_it_begins_with_the_start_model_at_a_temperature(features, tmp_path) -> None:
    start = f"{tmp_path}/start"
    training.train(features, start, dataclasses.replace(toy_training.OPTIONS, epochs=1))
    options = dataclasses.replace(OPTIONS, start=start, epochs=1, learning_rate=1e-9)
    training.train(features, f"{tmp_path}/model", dataclasses.replace(options, temperature=0.5))

    records = list(FeatureDataset.load(features).records("dev").as_numpy_iterator())
    images = np.stack([record["features"] for record in records])
    found = [
        Captioner.load(model, encoder=False, search=search).caption_features(images)
        for model, search in (
            (start, SearchOptions(temperature=0.5)),
            (f"{tmp_path}/model", SearchOptions()),
        )
    ]
    for before, after in zip(*found, strict=True):
        assert after.text == before.text
        assert after.log_probability == pytest.approx(before.log_probability, abs=1e-3)


def test_without_a_development_split_rewards_alone_are_drawn(tmp_path) -> None:
    features, start = f"{tmp_path}/features", f"{tmp_path}/start"
    toy_features.write(features, {"train": 12})
    training.train(features, start, dataclasses.replace(toy_training.OPTIONS, epochs=1))
    options = dataclasses.replace(OPTIONS, start=start, epochs=1)
    result = training.train(features, f"{tmp_path}/model", options)
    assert result.history[0].keys() == {"epoch", "reward", "seconds"}
    with Image.open(tmp_path / "model/curves.png") as curves:
        assert len(curves.getcolors(1 << 16)) > 10


def test_a_model_does_not_start_from_where_it_goes(features, tmp_path) -> None:
    options = dataclasses.replace(OPTIONS, start=f"{tmp_path}/model/")
    with pytest.raises(UserError, match="both where to start and where"):
        training.train(features, f"{tmp_path}/model", options)


def test_rewards_rise_and_on_several_devices_it_is_refused(features, tmp_path) -> None:
    start = f"{tmp_path}/start"
    training.train(features, start, dataclasses.replace(toy_training.OPTIONS, keep_by="loss"))
    options = dataclasses.replace(OPTIONS, start=start, epochs=8)
    with pytest.raises(UserError, match="--strategy one"):
        training.train(features, f"{tmp_path}/refused", options, strategy="mirrored")
    assert not (tmp_path / "refused").exists()

    result = training.train(features, f"{tmp_path}/model", options)
    rewards = [entry["reward"] for entry in result.history]
    assert np.mean(rewards[-3:]) > 1.1 * rewards[0] > 0
    assert not any("loss" in entry for entry in result.history)
    figures = [entry["cider_d"] for entry in result.history]
    assert figures[result.best_epoch - 1] == max(figures)
    assert "reward " in str(result)
