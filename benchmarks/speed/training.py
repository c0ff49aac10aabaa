"""Training, beside a generator that makes one sample of each prefix of each caption."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.utils import pad_sequences, to_categorical
from rich.console import Console

from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Result, in_turns, seconds
from captioner.records import FeatureDataset
from captioner.training import distribution, learners, sources
from captioner.training.examples import FeatureImages
from captioner.training.options import TrainingOptions
from captioner.training.preparing import prepare
from captioner.training.progress import bar
from captioner.vocabulary import Vocabulary

IMAGES = 8  # of a generator's epoch
UNITS = 256


def measure(inputs: Inputs, rounds: int) -> list[Result]:
    """Captions a second, and what a step costs that is fed from files."""
    features = inputs.many_features()
    ours, loop = Training(features), Prefixes(features)
    found = in_turns({"ours": ours.per_caption, "loop": loop.per_caption}, rounds)
    told = f"{1 / found['ours']:.0f} and {1 / found['loop']:.1f} captions a second"
    ratio = found["loop"] / found["ours"]
    return [
        Result("train, merge / a sample of each prefix", ratio, 20, told),
        _from_files("merge, pooled", features, "merge", rounds),
        _from_files("attention, grid", inputs.features("grid"), "attention", rounds),
    ]


def _from_files(name: str, features: Path, decoder: str, rounds: int) -> Result:
    training = Training(features, decoder)
    # More often than others: the difference is small.
    contestants = {"files": training.from_files, "memory": training.from_memory}
    found = in_turns(contestants, 2 * rounds + 1)
    told = " and ".join(f"{1000 * figure:.1f}" for figure in found.values()) + " ms a step"
    ratio = found["files"] / found["memory"]
    return Result(f"a step of {name}, from files / from memory", ratio, 1.05, told, True)


class Training:
    """Steps as `captioner train` does them, of features that are read from files in each epoch."""

    def __init__(self, features: Path, decoder: str = "merge") -> None:
        dataset = FeatureDataset.load(str(features))
        some = 64 * dataset.bytes_per_image
        streamed = FeatureImages(dataset, "train", memory=some)
        source = dataclasses.replace(sources.of_features(str(features)), train=streamed)
        options = TrainingOptions(decoder=decoder, min_count=1)
        devices = distribution.create("one")
        with bar(Console(quiet=True)) as progress:
            self._material = prepare(source, options, devices, None, progress)
        rates = {"weight_decay": options.weight_decay, "global_clipnorm": options.clip_norm}
        optimizer = functools.partial(learners.AdamW, 1e-3, **rates)
        network = self._material.network
        self._learner = learners.create(network, optimizer, options.label_smoothing, devices)
        self._held = Held(self._material.passes.training(1, 0))
        self._learn(self._held)

    def per_caption(self) -> float:
        """Seconds."""
        return self.from_files() * self._held.steps / self._material.captions

    def from_files(self) -> float:
        """Seconds a step."""
        batches = self._material.passes.training(1, 0)
        return seconds(lambda: self._learn(batches)) / self._held.steps

    def from_memory(self) -> float:
        """Seconds a step."""
        return seconds(lambda: self._learn(self._held)) / self._held.steps

    def _learn(self, batches: Any) -> None:
        losses = [loss for loss, _ in self._learner.over(batches, learn=True)]
        float(losses[-1])


class Held:
    """The batches of an epoch in memory, as they are."""

    def __init__(self, batches: Any) -> None:
        self.element_spec = batches.element_spec
        self._batches = list(batches)

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


class Prefixes:
    """The training that tutorials copy from one another, with a network of the same layers.

    Each image is a batch: of each of its captions every prefix, padded to the longest caption, with
    the word that follows as a vector of zeros and a one.
    """

    def __init__(self, features: Path) -> None:
        records = FeatureDataset.load(str(features)).records("train").as_numpy_iterator()
        self._images = [next(records) for _ in range(IMAGES)]
        written = [[text.decode() for text in image["captions"]] for image in self._images]
        whole = FeatureDataset.load(str(features)).captions("train")
        self._words = Vocabulary.build([text for _, texts in whole for text in texts], 1)
        self._captions = [[self._words.encode(text) for text in texts] for texts in written]
        self._longest = max(len(tokens) for some in self._captions for tokens in some)
        self._network = self._layers()
        self._fit(1)

    def per_caption(self) -> float:
        """Seconds."""
        return seconds(lambda: self._fit(IMAGES)) / sum(map(len, self._captions))

    def _fit(self, images: int) -> None:
        self._network.fit(self._samples(), steps_per_epoch=images, verbose=0)

    def _samples(self) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
        for image, captions in zip(self._images, self._captions, strict=True):
            pictures, prefixes, following = [], [], []
            for tokens in captions:
                for end in range(1, len(tokens)):
                    pictures.append(image["features"].astype(np.float32))
                    prefixes.append(pad_sequences([tokens[:end]], self._longest)[0])
                    following.append(to_categorical([tokens[end]], len(self._words))[0])
            yield (np.array(pictures), np.array(prefixes)), np.array(following)

    def _layers(self) -> Any:
        picture = keras.Input(self._images[0]["features"].shape)
        seen = layers.Dense(UNITS, activation="relu")(layers.Dropout(0.5)(picture))
        words = keras.Input((self._longest,))
        embedded = layers.Embedding(len(self._words), UNITS, mask_zero=True)(words)
        read = layers.LSTM(UNITS)(layers.Dropout(0.5)(embedded))
        merged = layers.Dense(UNITS, activation="relu")(layers.add([seen, read]))
        network = keras.Model(
            [picture, words], layers.Dense(len(self._words), activation="softmax")(merged)
        )
        network.compile("adam", "categorical_crossentropy")
        return network
