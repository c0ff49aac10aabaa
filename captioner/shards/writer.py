"""How a shard gets into an output directory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from captioner import storage
from captioner.shards.history import read_summary
from captioner.shards.names import index_name, sha256_of
from captioner.shards.summary import Failure, Outcome, Summary


class Spool(Protocol):
    """A data file that is being written."""

    def write(self, record: bytes) -> Any:
        """Append one record."""

    def close(self) -> Any:
        """Finish the file."""


class DataFormat(NamedTuple):
    """How data files of one extension are written and read.

    Args:
        open_spool: opens a local file for writing.
        read: the records of a local file, each as it was written to a spool.
        id_of: the image that a record is about; raises where it is no record.
    """

    open_spool: Callable[[str], Spool]
    read: Callable[[str], Iterator[bytes]]
    id_of: Callable[[bytes], str]


class ShardWriter:
    """Collects one task's results on local disk, then publishes them as a shard.

    Args:
        output: the output directory's URI.
        summary: of the shard, with nothing counted yet.
        open_spool: opens a local data file for writing.
    """

    def __init__(self, output: str, summary: Summary, open_spool: Callable[[str], Spool]) -> None:
        self._output = output
        self._summary = summary
        self._outcomes: list[Outcome] = []
        self._failures: list[Failure] = []
        self._failed: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._models: set[str] = set()
        self._directory = tempfile.TemporaryDirectory(prefix="captioner-")
        self._path = Path(self._directory.name) / "data"
        self._spool = open_spool(str(self._path))

    def __len__(self) -> int:
        """How many images have ended so far."""
        return len(self._outcomes)

    def add_result(self, outcome: Outcome, record: bytes, duplicate: bool = False) -> None:
        """Add an image with its result."""
        self._outcomes.append(outcome)
        self._spool.write(record)
        self._summary.done += 1
        self._summary.deduplicated += duplicate

    def add_failure(self, outcome: Outcome, failure: Failure) -> None:
        """Add an image that has no result."""
        self._outcomes.append(outcome)
        self._failures.append(failure)
        self._failed[failure.reason] += 1

    def add_work(self, model: str, **seconds: float) -> None:
        """Count time that this shard took, by stage, and the loaded model that worked on it."""
        self._seconds.update(seconds)
        if model:
            self._models.add(model)

    def publish(self) -> Summary:
        """Publish failures and index, then the data.

        Returns:
            The shard's summary: that of the first attempt, if this was not it.
        """
        self._spool.close()
        outcomes = _lines(self._outcomes)
        self._complete_summary(outcomes)
        name = index_name(self._summary.task, self._summary.sha256)
        if self._failures:
            self._publish_failures(storage.join(self._output, "failures", name))
        index = self._summary.to_line().encode() + outcomes
        is_new = storage.create(storage.join(self._output, "index", name), index)
        is_first = storage.create(storage.join(self._output, self._summary.file), self._path)
        self.discard()
        return (
            self._summary if is_new and is_first else read_summary(self._output, self._summary.file)
        )

    def discard(self) -> None:
        """Remove what is on local disk."""
        self._directory.cleanup()

    def _publish_failures(self, file: str) -> None:
        lines = _lines(self._failures)
        # An attempt that was killed before its index may have left its own: those are kept.
        if not storage.create(file, lines):
            lines = storage.read_bytes(file)
        self._summary.failures_sha256 = hashlib.sha256(lines).hexdigest()

    def _complete_summary(self, outcomes: bytes) -> None:
        self._summary.sha256 = sha256_of(self._path)
        self._summary.outcomes_sha256 = hashlib.sha256(outcomes).hexdigest()
        self._summary.size = self._path.stat().st_size
        self._summary.models = sorted(self._models)
        self._summary.failed = dict(sorted(self._failed.items()))
        self._summary.seconds = {name: round(value, 3) for name, value in self._seconds.items()}


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row._asdict()) + "\n" for row in rows).encode()
