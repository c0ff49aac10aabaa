"""Finished shards: the output directory of a job, and how a shard gets into it.

An output directory (of features or of captions) holds::

    shards/TASK.EXTENSION        the data; a shard is finished the moment this is there
    index/TASK-DATA.jsonl        first line: the shard's `Summary`; then one `Outcome` an image
    failures/TASK-DATA.jsonl     the images that failed, where there are any
    plans/RUN/                   which images make up which task of a run
    runs/RUN.json                what a run was asked and what it did

A shard is named after its task; its files are only ever created, never changed, index first and
data last. So two attempts at a task, or two runs at once, end with one shard, and a killed run
leaves whole shards only. DATA is the beginning of the data's SHA-256: attempts that end differently
(a read that failed once) publish an index each, and the name says which of them belongs to the data
that was first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from captioner import storage

FORMAT = 1


class Outcome(NamedTuple):
    """How one image ended: a line of a shard's index.

    `failure` is empty, or the reason there is no result. `permanent` failures are not tried again
    while the image is the same, which `stamp` tells.
    """

    id: str
    uri: str
    stamp: str
    content_hash: str
    failure: str
    permanent: bool


class Failure(NamedTuple):
    """A line of ``failures/``: why an image has no result. `stage` is read, decode or infer.

    `source` is the file the image is inside of, or empty: with `uri` it says where to try again.
    """

    id: str
    uri: str
    source: str
    stage: str
    reason: str
    message: str
    permanent: bool
    run: str


@dataclasses.dataclass
class Summary:
    """What a finished shard holds: the first line of its index, and its part of the run's manifest.

    Args:
        task: the task's id, and so the name of the shard's files.
        file: the data file, relative to the output directory.
        run: the run that made it.
        settings: fingerprint of what decides the results, see `fingerprint`.
        split: train, dev, test or empty.
        done: images with a result.
        deduplicated: those of them whose result is that of an image with the same bytes.
        failed: images without one, by reason.
        seconds: spent on it, by stage.
        size, sha256: of the data file.
    """

    task: str
    file: str
    run: str
    settings: str
    split: str
    done: int = 0
    deduplicated: int = 0
    failed: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    size: int = 0
    sha256: str = ""

    def to_line(self) -> str:
        """The summary as one line of JSON."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Summary:
        """The inverse of `to_line`."""
        values = json.loads(line)
        if values.pop("format") != FORMAT:
            raise ValueError("an index of another version of captioner")
        return cls(**values)


class Spool(Protocol):
    """A data file that is being written."""

    def write(self, record: bytes) -> Any:
        """Append one record."""

    def close(self) -> Any:
        """Finish the file."""


def fingerprint(settings: dict[str, Any]) -> str:
    """A short hash of JSON values: equal settings, equal fingerprint."""
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


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

    def add_seconds(self, **stages: float) -> None:
        """Count time that this shard took, by stage."""
        self._seconds.update(stages)

    def publish(self) -> Summary:
        """Publish index and failures, then the data.

        Returns:
            The shard's summary: that of the first attempt, if this was not it.
        """
        self._spool.close()
        self._complete_summary()
        name = _index_name(self._summary.task, self._summary.sha256)
        index = self._summary.to_line() + _lines(self._outcomes)
        is_new = storage.create(storage.join(self._output, "index", name), index.encode())
        if self._failures:
            failures = storage.join(self._output, "failures", name)
            storage.create(failures, _lines(self._failures).encode())
        is_first = storage.create(storage.join(self._output, self._summary.file), self._path)
        self.discard()
        return (
            self._summary if is_new and is_first else read_summary(self._output, self._summary.file)
        )

    def discard(self) -> None:
        """Remove what is on local disk."""
        self._directory.cleanup()

    def _complete_summary(self) -> None:
        with open(self._path, "rb") as file:
            self._summary.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._summary.size = self._path.stat().st_size
        self._summary.failed = dict(sorted(self._failed.items()))
        self._summary.seconds = {name: round(value, 3) for name, value in self._seconds.items()}


def finished(output: str) -> Iterator[str]:
    """The index files of the finished shards."""
    # Data before indexes: whatever data is seen, its index was there before it.
    data = list(storage.walk(storage.join(output, "shards")))
    indexes: dict[str, list[str]] = {}
    for entry in storage.walk(storage.join(output, "index")):
        task = _name(entry.uri).rpartition("-")[0]
        indexes.setdefault(task, []).append(entry.uri)
    for entry in data:
        found = indexes.get(_name(entry.uri).partition(".")[0], [])
        yield found[0] if len(found) == 1 else _index_of(output, entry.uri)


def read_summary(output: str, file: str) -> Summary:
    """The summary of the finished shard whose data file, relative to `output`, is `file`."""
    return read_index(_index_of(output, storage.join(output, file)))[0]


def read_index(index: str) -> tuple[Summary, list[Outcome]]:
    """What an index file says: the shard's summary, and how each image ended."""
    first, *rest = storage.read_bytes(index).decode().splitlines()
    return Summary.from_line(first), [Outcome(**json.loads(line)) for line in rest]


def newest(output: str, settings: str) -> dict[str, str]:
    """The task that holds the outcome of each id that counts, be it a result or a failure.

    It is the newest of those made with `settings` (a fingerprint), and where there is none, of the
    others.
    """
    found: dict[str, tuple[bool, str, str]] = {}
    for index in finished(output):
        summary, outcomes = read_index(index)
        made = (summary.settings == settings, summary.run, summary.task)
        for outcome in outcomes:
            found[outcome.id] = max(made, found.get(outcome.id, made))
    return {id: task for id, (_, _, task) in found.items()}


def latest_settings(output: str) -> str:
    """The settings (a fingerprint) of the latest run that came to its end; empty without one."""
    runs = max((entry.uri for entry in storage.walk(storage.join(output, "runs"))), default=None)
    return json.loads(storage.read_bytes(runs))["settings"] if runs else ""


def _index_of(output: str, data: str) -> str:
    """The index of a finished shard, told from the content of its data file."""
    sha256 = hashlib.sha256(storage.read_bytes(data)).hexdigest()
    return storage.join(output, "index", _index_name(_name(data).partition(".")[0], sha256))


def _index_name(task: str, sha256: str) -> str:
    return f"{task}-{sha256[:16]}.jsonl"


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row._asdict()) + "\n" for row in rows)
