"""A feature dataset small enough to be learned in seconds: two channels tell what is to be said."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from captioner import encoders, records, storage
from captioner.encoders import Encoder
from captioner.records import FeatureDataset, FeatureRecord

THINGS = ("dog", "cat", "ball", "tree")
COLOURS = ("red", "blue", "green")
CHANNELS = 32


@functools.cache
def encoder() -> Encoder:
    """The first layer of an untrained network, on pictures of 32 pixels."""
    return encoders.create("mobilenetv2", "none", layer="Conv1_relu", image_size=32)


def features(thing: int, colour: int, shape: tuple[int, ...] = (CHANNELS,)) -> np.ndarray:
    """The features, float16 [*shape], of a thing in a colour, by their indexes."""
    values = np.zeros(shape, np.float16)
    values[..., thing] = 1
    values[..., len(THINGS) + colour] = 1
    return values


def captions(thing: int, colour: int) -> tuple[str, ...]:
    """Two wordings."""
    return (
        f"A {COLOURS[colour]} {THINGS[thing]}.",
        f"There is a {THINGS[thing]} in {COLOURS[colour]}",
    )


def write(
    directory: str,
    counts: dict[str, int],
    shape: tuple[int, ...] = (CHANNELS,),
    captioned: bool = True,
    misleading: bool = False,
) -> FeatureDataset:
    """A dataset of `counts` images a split, one shard each.

    If `misleading`, what is learned from the training split is wrong in the others.
    """
    shards = {}
    for split, count in counts.items():
        shards[split] = (f"shards/{split}.tfrecord.gz",)
        local = f"{directory}.{split}"
        spool = records.open_spool(local)
        for number in range(count):
            record = _record(split, number, shape, captioned)
            if misleading and split != "train":
                record = dataclasses.replace(record, features=-record.features)
            spool.write(record.to_bytes())
        spool.close()
        with storage.local_copy(local) as path:
            storage.create(storage.join(directory, shards[split][0]), path)
    weights = storage.join(directory, "encoder.weights.h5")
    encoder().save_weights(weights)
    dataset = FeatureDataset(directory, encoder().spec, weights, shape, counts, shards, 0)
    dataset.save()
    return dataset


def _record(split: str, number: int, shape: tuple[int, ...], captioned: bool) -> FeatureRecord:
    thing, colour = number % len(THINGS), number % len(COLOURS)
    noise = np.random.default_rng(number).normal(0, 0.1, shape)
    return FeatureRecord(
        id=f"{split}/{number}.png",
        uri="",
        content_hash="",
        width=1,
        height=1,
        features=(features(thing, colour, shape) + noise).astype(np.float16),
        captions=captions(thing, colour) if captioned else (),
        split=split,
    )
