"""Feature shards: what a record holds, how it is written, and reading a collection of them.

A shard is a TFRecord file, compressed with gzip at level 1, of `tf.train.Example` with these
features:

=============  ===========  ==================================================================
id             bytes [1]    the image's id, UTF-8
uri            bytes [1]    where the image was read
content_hash   bytes [1]    SHA-256 of the image's bytes, hexadecimal
size           int64 [2]    upright width and height in pixels, before resizing
features       bytes [1]    float16, little endian, in C order
shape          int64 [n]    of the features: (channels,) or (rows, columns, channels)
captions       bytes [k]    the image's captions as their authors wrote them; k may be 0
languages      bytes [k]    of each caption, a BCP 47 tag or empty; or none at all if none is known
split          bytes [1]    train, dev, test or empty
=============  ===========  ==================================================================

``dataset.json`` beside them says what all of them have in common. It is derived from the shards'
summaries, and replaced, at the end of each run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from captioner import shards, storage
from captioner.encoders import EncoderSpec
from captioner.errors import UserError
from captioner.shards import DataFormat

FORMAT = 1

_COMPRESSION = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclasses.dataclass(frozen=True)
class FeatureRecord:
    """One image's features and what is known of it. See the module's table.

    Args:
        features: float16 [*shape].
    """

    id: str
    uri: str
    content_hash: str
    width: int
    height: int
    features: np.ndarray
    captions: tuple[str, ...] = ()
    split: str = ""
    languages: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The record as a serialised `tf.train.Example`. Features beyond float16 are clipped."""
        features = np.clip(self.features, -_LARGEST_FLOAT16, _LARGEST_FLOAT16).astype("<f2")
        texts = {name: [getattr(self, name)] for name in ("id", "uri", "content_hash", "split")}
        texts |= {name: list(getattr(self, name)) for name in ("captions", "languages")}
        feature = {
            name: _bytes([text.encode() for text in values]) for name, values in texts.items()
        }
        feature["features"] = _bytes([features.tobytes()])
        feature["size"] = _integers([self.width, self.height])
        feature["shape"] = _integers(list(features.shape))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    @classmethod
    def from_bytes(cls, data: bytes) -> FeatureRecord:
        """The inverse of `to_bytes`."""
        feature = tf.train.Example.FromString(data).features.feature
        texts = {
            name: feature[name].bytes_list.value[0].decode()
            for name in ("id", "uri", "content_hash", "split")
        }
        width, height = feature["size"].int64_list.value
        shape = tuple(feature["shape"].int64_list.value)
        values = np.frombuffer(feature["features"].bytes_list.value[0], "<f2").reshape(shape)
        lists = {
            name: tuple(text.decode() for text in feature[name].bytes_list.value)
            for name in ("captions", "languages")
        }
        return cls(width=width, height=height, features=values, **texts, **lists)


def open_spool(path: str) -> tf.io.TFRecordWriter:
    """A local shard file to `write` records' bytes to."""
    return tf.io.TFRecordWriter(path, _COMPRESSION)


def read_spool(path: str) -> Iterator[bytes]:
    """The bytes of the records of a local shard file, in order."""
    yield from tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator()


def read_shard(uri: str) -> Iterator[FeatureRecord]:
    """The records of one shard, in order."""
    with storage.local_copy(uri) as local:
        yield from map(FeatureRecord.from_bytes, read_spool(str(local)))


def _id_of(data: bytes) -> str:
    return FeatureRecord.from_bytes(data).id


DATA_FORMAT = DataFormat(open_spool, read_spool, _id_of)


@dataclasses.dataclass(frozen=True)
class FeatureDataset:
    """A collection of feature shards made with one encoder: what ``dataset.json`` says.

    Args:
        directory: where the collection lies.
        encoder: what made the features.
        encoder_weights: URI of the encoder's weights, for `Encoder.load`.
        feature_shape: of one image's features.
        counts: images with features, by split.
        shards: data files by split, relative to `directory`.
        superseded: records for which a newer outcome of the same id exists.
    """

    directory: str
    encoder: EncoderSpec
    encoder_weights: str
    feature_shape: tuple[int, ...]
    counts: dict[str, int]
    shards: dict[str, tuple[str, ...]]
    superseded: int

    @property
    def bytes_per_image(self) -> int:
        """Of features in memory."""
        return math.prod(self.feature_shape) * np.dtype(np.float16).itemsize

    def save(self) -> None:
        """Replace the directory's ``dataset.json``."""
        values = {
            "format": FORMAT,
            "encoder": self.encoder.to_json(),
            "encoder_weights": self.encoder_weights.removeprefix(self.directory.rstrip("/") + "/"),
            "dtype": "float16",
            "feature_shape": list(self.feature_shape),
            "superseded": self.superseded,
            "counts": self.counts,
            "shards": {split: list(files) for split, files in self.shards.items()},
        }
        text = json.dumps(values, indent=1) + "\n"
        storage.replace(storage.join(self.directory, "dataset.json"), text.encode())

    @classmethod
    def load(cls, directory: str) -> FeatureDataset:
        """The collection that lies in `directory`.

        Raises:
            UserError: there is none, or it is of another version.
        """
        values = _read_dataset_json(directory)
        return cls(
            directory=directory,
            encoder=EncoderSpec.from_json(values["encoder"]),
            encoder_weights=storage.join(directory, values["encoder_weights"]),
            feature_shape=tuple(values["feature_shape"]),
            counts=values["counts"],
            shards={split: tuple(files) for split, files in values["shards"].items()},
            superseded=values["superseded"],
        )

    @property
    def fingerprint(self) -> str:
        """A short hash of which records there are."""
        return shards.fingerprint({"encoder": self.encoder.to_json(), "shards": self.shards})

    def records(self, split: str, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """The newest record of each image of a split.

        Args:
            split: train, dev or test.
            shuffle_seed: reads the shards in an order drawn from it, anew each pass, and some at a
                time; without it the order is that of the shards' names.

        Returns:
            A dataset of {"id": string [], "features": float16 [*feature_shape],
            "captions": string [k], "languages": string [k]}; a language may be empty.
        """
        files = self._files(split)
        names = tf.data.Dataset.from_tensor_slices(tf.constant(files, tf.string))
        if shuffle_seed is not None and files:
            names = names.shuffle(len(files), shuffle_seed)
        parallel = 1 if shuffle_seed is None else min(4, max(1, len(files)))
        read = self._reader()
        found = names.interleave(read, cycle_length=parallel, num_parallel_calls=parallel)
        return found.prefetch(tf.data.AUTOTUNE)

    def captions(self, split: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The id and captions of each image of a split, as written."""
        found = self.records(split).map(lambda record: (record["id"], record["captions"]))
        for id, captions in found.as_numpy_iterator():
            yield id.decode(), tuple(caption.decode() for caption in captions)

    def _files(self, split: str) -> Sequence[str]:
        """The shards of a split, by names that TensorFlow can read."""
        files = [storage.join(self.directory, file) for file in self.shards.get(split, ())]
        try:
            return storage.for_tensorflow(files)
        except FileNotFoundError as error:
            raise UserError(
                f"{error.filename}: a shard is missing; see what else is with `captioner verify`"
            ) from error

    def _reader(self) -> Callable[[tf.Tensor], tf.data.Dataset]:
        """From a shard's file to its records, without those that a newer outcome supersedes."""
        if not self.superseded:
            return lambda file: tf.data.TFRecordDataset(file, "GZIP").map(self._parse)
        newest = shards.newest(self.directory, self.encoder.fingerprint)
        pairs = tf.lookup.KeyValueTensorInitializer(list(newest), list(newest.values()))
        task_of = tf.lookup.StaticHashTable(pairs, "")

        def read(file: tf.Tensor) -> tf.data.Dataset:
            task = tf.strings.split(tf.strings.split(file, "/")[-1], ".")[0]
            records = tf.data.TFRecordDataset(file, "GZIP").map(self._parse)
            return records.filter(lambda record: task_of.lookup(record["id"]) == task)

        return read

    def _parse(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
        text = tf.io.FixedLenFeature([], tf.string)
        texts = tf.io.RaggedFeature(tf.string)
        wanted = {"id": text, "features": text, "captions": texts, "languages": texts}
        record = tf.io.parse_single_example(data, wanted)
        values = tf.reshape(tf.io.decode_raw(record["features"], tf.float16), self.feature_shape)
        missing = tf.size(record["captions"]) - tf.size(record["languages"])
        languages = tf.concat([record["languages"], tf.fill([missing], "")], axis=0)
        return {**record, "features": values, "languages": languages}


def is_dataset(directory: str) -> bool:
    """Whether `directory` is one of feature shards."""
    file = storage.join(directory, "dataset.json")
    with contextlib.suppress(OSError, ValueError):
        return "encoder" in json.loads(storage.read_bytes(file))
    return False


def _read_dataset_json(directory: str) -> dict[str, Any]:
    file = storage.join(directory, "dataset.json")
    try:
        values = json.loads(storage.read_bytes(file))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{directory}: no features here (there is no dataset.json); "
            "make them with `captioner extract`"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{file}: not as it was written; delete it and run `captioner extract` again"
        ) from error
    if values.get("format") != FORMAT:
        raise UserError(f"{file}: made by another version of captioner; extract the features again")
    return values


def _bytes(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _integers(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
