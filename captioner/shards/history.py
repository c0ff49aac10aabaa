"""What an output directory holds already."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator

from captioner import storage, videos
from captioner.errors import UserError
from captioner.shards.names import index_name, task_of, task_of_index
from captioner.shards.summary import Failure, Outcome, Summary

# What it raises to read JSON that is no longer as it was written.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


def finished(output: str) -> Iterator[str]:
    """The index files of the finished shards."""
    # Data before indexes: whatever data is seen, its index was there before it.
    data = list(storage.walk(storage.join(output, "shards")))
    indexes: dict[str, list[str]] = {}
    for entry in storage.walk(storage.join(output, "index")):
        indexes.setdefault(task_of_index(entry.uri), []).append(entry.uri)
    for entry in data:
        found = indexes.get(task_of(entry.uri), [])
        yield found[0] if len(found) == 1 else _index_of(output, entry.uri)


def unfinished(output: str) -> Iterator[str]:
    """The marks of tasks that were begun and have no shard: killed, or still under way."""
    data = storage.walk(storage.join(output, "shards"))
    done = {task_of(entry.uri) for entry in data}
    for entry in storage.walk(storage.join(output, "attempts")):
        if storage.name(entry.uri) not in done:
            yield entry.uri


def other_than(output: str, known: set[str]) -> list[Summary]:
    """The summaries of the finished shards of other tasks than the `known` ones."""
    found = (index for index in finished(output) if task_of_index(index) not in known)
    return [read_index(index)[0] for index in found]


def recount(output: str, settings: str) -> tuple[list[Summary], Counter[str]]:
    """The shards of some settings, and how many images of each split have a result in them."""
    summaries: list[Summary] = []
    newest: dict[str, tuple[str, str, str]] = {}
    for summary, outcomes in map(read_index, finished(output)):
        if summary.settings == settings:
            summaries.append(summary)
            for outcome in outcomes:
                ended = (summary.run, summary.split, outcome.failure)
                newest[outcome.id] = max(ended, newest.get(outcome.id, ended))
    return summaries, Counter(split for _, split, failure in newest.values() if not failure)


def read_summary(output: str, file: str) -> Summary:
    """The summary of the finished shard whose data file, relative to `output`, is `file`."""
    return read_index(_index_of(output, storage.join(output, file)))[0]


def read_index(index: str) -> tuple[Summary, list[Outcome]]:
    """What an index file says: the shard's summary, and how each image ended.

    Raises:
        UserError: it is not there, or not as it was written.
    """
    with _named(index, "the index of a shard is missing"):
        content = storage.read_bytes(index)
        summary, outcomes = parse_index(content)
        if outcomes_sha256(content) != summary.outcomes_sha256:
            raise ValueError("by its SHA-256")
        return summary, outcomes


def read_failures(file: str, sha256: str | None = None) -> list[Failure]:
    """The images of a shard that failed, given its file in ``failures/``.

    Args:
        sha256: which the file has, as the shard's summary says; None where that is not at hand.

    Raises:
        UserError: it is not there, or not as it was written.
    """
    with _named(file, "the failures of a shard are missing"):
        content = storage.read_bytes(file)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("by its SHA-256")
        return [Failure(**json.loads(line)) for line in content.decode().splitlines()]


def parse_index(content: bytes) -> tuple[Summary, list[Outcome]]:
    """The inverse of what an index file is written as."""
    first, *rest = content.decode().splitlines()
    return Summary.from_line(first), [Outcome(**json.loads(line)) for line in rest]


def outcomes_sha256(content: bytes) -> str:
    """The SHA-256 of an index file's lines after the first, which its summary has too."""
    return hashlib.sha256(content.partition(b"\n")[2]).hexdigest()


def newest(output: str, settings: str) -> dict[str, str]:
    """The task that holds the outcome of each id that counts, be it a result or a failure.

    It is the newest of those made with `settings` (a fingerprint), and where there is none, of the
    others. A film that couldn't be read has none any more once its frames have newer ones.
    """
    return newest_of(finished(output), settings)


def newest_of(indexes: Iterable[str], settings: str) -> dict[str, str]:
    """The same of some shards, given their indexes."""
    found: dict[str, tuple[bool, str, str]] = {}
    for index in indexes:
        summary, outcomes = read_index(index)
        made = (summary.settings == settings, summary.run, summary.task)
        for outcome in outcomes:
            found[outcome.id] = max(made, found.get(outcome.id, made))
    for film in _read_since(found):
        del found[film]
    return {id: task for id, (_, _, task) in found.items()}


def _read_since(found: dict[str, tuple[bool, str, str]]) -> set[str]:
    """The films with an outcome, which is why they couldn't be read, that was before a frame's."""
    frames = ((videos.frame_of(id), made[:2]) for id, made in found.items() if "#t=" in id)
    return {frame[0] for frame, made in frames if frame and found.get(frame[0], made)[:2] < made}


def latest_settings(output: str) -> str:
    """The settings (a fingerprint) of the latest run that came to its end; empty without one.

    Raises:
        UserError: its manifest is not as it was written.
    """
    manifest = latest_manifest(output)
    if manifest is None:
        return ""
    try:
        return json.loads(storage.read_bytes(manifest))["settings"]
    except UNREADABLE as error:
        raise _damaged(manifest, error) from error


def latest_manifest(output: str) -> str | None:
    """The manifest of the latest run that came to its end; None without one."""
    return max((entry.uri for entry in storage.walk(storage.join(output, "runs"))), default=None)


@contextlib.contextmanager
def _named(file: str, missing: str) -> Iterator[None]:
    """Name a file of a shard that isn't there, or not as it was written."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{file}: {missing}; see what else is with `captioner verify`") from error
    except UNREADABLE as error:
        raise _damaged(file, error) from error


def _damaged(file: str, error: Exception) -> UserError:
    return UserError(f"{file}: not as it was written ({error}); see `captioner verify`")


def _index_of(output: str, data: str) -> str:
    """The index of a finished shard, told from the content of its data file."""
    sha256 = hashlib.sha256(storage.read_bytes(data)).hexdigest()
    return storage.join(output, "index", index_name(task_of(data), sha256))
