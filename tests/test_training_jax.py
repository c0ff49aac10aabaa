"""Under JAX the same is learned as under TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from captioner import decoders, training
from tests import toy_training

# Its arguments are those of trainings: features, model and options of each.
TRAINING = """
import json, sys
from captioner import training

for features, model, options in json.loads(sys.argv[1]):
    training.train(features, model, training.TrainingOptions(**options))
"""
WORDS = dataclasses.replace(
    toy_training.OPTIONS, epochs=2, learning_rate=0.003, accumulate=2, averaging=0.9
)
REWARDS = dataclasses.replace(WORDS, self_critical=True, epochs=1, accumulate=1, averaging=0.0)


def under_jax(trainings: list[tuple[str, str, training.TrainingOptions]]) -> None:
    asked = [(*names, dataclasses.asdict(options)) for *names, options in trainings]
    subprocess.run(
        [sys.executable, "-c", TRAINING, json.dumps(asked)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )


@pytest.mark.slow
def test_jax_learns_what_tensorflow_does(tmp_path_factory, tmp_path) -> None:
    """From the same weights, and without dropout, which each backend draws in its own way."""
    pytest.importorskip("jax")
    features = toy_training.write_features(tmp_path_factory)
    asked = []
    for decoder in decoders.DECODERS:
        start = f"{tmp_path}/{decoder}"
        begin = dataclasses.replace(
            toy_training.OPTIONS, decoder=decoder, settings=toy_training.SIZES[decoder], epochs=3
        )
        training.train(features, start, begin)
        asked.append((decoder, dataclasses.replace(WORDS, start=start)))
    asked.append(("rewards", dataclasses.replace(REWARDS, start=f"{tmp_path}/attention")))
    for name, options in asked:
        training.train(features, f"{tmp_path}/tensorflow/{name}", options)
    under_jax([(features, f"{tmp_path}/jax/{name}", options) for name, options in asked])
    for name, _ in asked:
        expected = toy_training.history(f"{tmp_path}/tensorflow/{name}")
        found = toy_training.history(f"{tmp_path}/jax/{name}")
        assert len(expected) == (1 if name == "rewards" else 2)
        for mine, its in zip(found, expected, strict=True):
            assert mine == pytest.approx(its, abs=1e-4)
