"""What an index is made of: the records of an output, captions or features."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow

from captioner import captions, datafiles, shards, storage
from captioner.errors import UserError
from captioner.similarity import embedding
from captioner.similarity.dense import DenseVectors
from captioner.similarity.index import Index
from captioner.similarity.nearest import Vectors
from captioner.similarity.words import WordVectors

if TYPE_CHECKING:
    from captioner.records import FeatureRecord

# By what images can be alike, besides the models that `embedding` knows.
FEATURES, WORDS = "features", "words"

_SOME = 50_000  # items that are made vectors at once


class Source(Protocol):
    """An output, by what its images are compared by.

    Attributes:
        name: of its index.
        settings: the fingerprint whose outcomes go before others.
        files: the names of its data files.
    """

    name: str
    settings: str
    files: frozenset[str]

    def load(self, parts: dict[str, bytes]) -> Vectors:
        """The vectors of an index, from what was kept of them."""

    def index(self) -> Index:
        """An index without a record."""

    def continues(self, index: Index) -> bool:
        """Whether what the index has is still there, and what came since can be added to it."""

    def add(self, index: Index, files: Sequence[str]) -> None:
        """Add the records of more files; `Index.hold` is to be told then which of them hold."""


def of(output: str, by: str) -> Source:
    """What an index of an output is made of.

    Args:
        by: `FEATURES`, `WORDS` or a model; empty for what the output has.

    Raises:
        UserError: it is no output, or its images can't be compared by this.
    """
    has_features = datafiles.extension_of(output) == datafiles.FEATURES
    by = by or (FEATURES if has_features else WORDS)
    if has_features != (by == FEATURES):
        kind = "features" if has_features else "captions"
        raise UserError(f"{output}: here are {kind}, which can't be compared by {by}")
    return Features(output) if has_features else Captions(output, by)


class Captions:
    """The captions of an output, each text once.

    Args:
        by: `WORDS` or a model.
    """

    def __init__(self, output: str, by: str) -> None:
        self._output = output
        self._by = by
        self.name = WORDS if by == WORDS else f"captions-{shards.fingerprint({'by': by})}"
        self.settings = shards.latest_settings(output)
        self.files = _data_files(output)

    @functools.cached_property
    def _embed(self) -> embedding.Embed:
        return embedding.embedder(self._by)

    def load(self, parts: dict[str, bytes]) -> Vectors:
        """The vectors of an index, from what was kept of them."""
        if self._by == WORDS:
            return WordVectors.from_parts(parts)
        return DenseVectors.from_parts(parts, self._embed)

    def index(self) -> Index:
        """An index without a record."""
        return Index(self._by, WordVectors() if self._by == WORDS else DenseVectors(self._embed))

    def continues(self, index: Index) -> bool:
        """Whether no file is gone."""
        return self.files.issuperset(index.files)

    def add(self, index: Index, files: Sequence[str]) -> None:
        """Add the captions of more files."""
        known = index.texts.to_pylist()
        items = {text: item for item, text in enumerate(known)}
        for file in files:
            found = [*captions.records_in(storage.join(self._output, "shards", file))]
            index.add(file, found, [items.setdefault(one.caption, len(items)) for one in found])
        new = [*items][len(known) :]
        index.texts = pyarrow.chunked_array([known + new], pyarrow.string())
        for first in range(0, len(new), _SOME):
            index.vectors.extend(new[first : first + _SOME], len(items))


class Features:
    """The features of an output; of a grid, the mean over its places."""

    name = FEATURES

    def __init__(self, output: str) -> None:
        from captioner.records import FeatureDataset  # with TensorFlow, which captions do without

        dataset = FeatureDataset.load(output)
        self._output = output
        self._count = sum(dataset.counts.values()) + dataset.superseded
        self.settings = dataset.encoder.fingerprint
        self.files = _data_files(output)

    def load(self, parts: dict[str, bytes]) -> Vectors:
        """The vectors of an index, from what was kept of them."""
        return DenseVectors.from_parts(parts, pooled)

    def index(self) -> Index:
        """An index without a record."""
        return Index(FEATURES, DenseVectors(pooled))

    def continues(self, index: Index) -> bool:
        """Whether no file is gone, and the features are of the same encoder."""
        return self.files.issuperset(index.files) and index.settings == self.settings

    def add(self, index: Index, files: Sequence[str]) -> None:
        """Add the features of more files, of which those of another encoder are passed over."""
        waiting: list[np.ndarray] = []
        for file in files:
            found = self._records(f"shards/{file}")
            index.add(file, found, range(len(index), len(index) + len(found)))
            waiting.extend(pooled([one.features for one in found]))
            if len(waiting) >= _SOME or (file == files[-1] and waiting):
                index.vectors.extend(waiting, self._count)
                waiting = []

    def _records(self, file: str) -> list[FeatureRecord]:
        from captioner import records

        if shards.read_summary(self._output, file).settings != self.settings:
            return []
        return [*records.read_shard(storage.join(self._output, file))]


def pooled(features: Sequence[np.ndarray]) -> np.ndarray:
    """Features of images, each of one place or of a grid of them: float32 [n, channels]."""
    means = [one.reshape(-1, one.shape[-1]).mean(axis=0, dtype=np.float32) for one in features]
    return np.stack(means) if means else np.zeros((0, 0), np.float32)


def _data_files(output: str) -> frozenset[str]:
    found = storage.walk(storage.join(output, "shards"))
    return frozenset(storage.name(entry.uri) for entry in found)
