"""Compacting a job's output: what its generations come to, as a new output of few full shards."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from captioner import __version__, captions, datafiles, shards, storage
from captioner.errors import UserError
from captioner.shards import DataFormat, Failure, Outcome, ShardWriter, Spool, Summary


def compact(
    output: str,
    target: str,
    *,
    shard_size: int = 256,
    format: str | None = None,
    asked: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Copy the outcome of each image that holds, results and failures, into a new directory.

    A job goes on from there as it would from `output`, which is left as it is. The manifest comes
    last: without it the directory is that of a run that has not finished.

    Args:
        output: of a job, features or captions.
        target: a directory that is not there yet, or empty.
        shard_size: images a shard.
        format: of captions; by default that of `output`.
        asked: for the manifest.

    Returns:
        The manifest.

    Raises:
        UserError: no output, a target with something in it, or a shard that is not whole.
    """
    extension = datafiles.extension_of(output)
    wanted = _target_extension(output, extension, format)
    _check_target(output, target)
    settings = _settings(output, extension)
    run = shards.new_run()
    merger = Merger(target, run, wanted, shard_size)
    # Listed once: a job may be running, and what it finishes from now on is not in the target.
    indexes = sorted(shards.finished(output))
    newest = shards.newest_of(indexes, settings)
    for index in indexes:
        merge(output, index, newest, merger)
    summaries = merger.close()
    if extension == datafiles.FEATURES:
        _save_dataset(output, target, summaries)
    asked = {"verb": shards.COMPACT, **(asked or {})}
    manifest = _manifest(run, settings, asked, summaries)
    text = json.dumps(manifest, indent=1) + "\n"
    storage.create(storage.join(target, "runs", f"{run}.json"), text.encode())
    return manifest


class Merger:
    """The shards that are being made, one at a time of each settings and split.

    Args:
        target: the directory they go to.
        run: what they are made by.
        extension: of the data files.
        shard_size: images a shard.
    """

    def __init__(self, target: str, run: str, extension: str, shard_size: int) -> None:
        self._target = target
        self._run = run
        self._extension = extension
        self._open_spool: Callable[[str], Spool] = datafiles.format_of(extension).open_spool
        self._shard_size = shard_size
        self._open: dict[tuple[str, str], ShardWriter] = {}
        self._summaries: list[Summary] = []

    def writer(self, settings: str, split: str) -> ShardWriter:
        """The shard for the next image of some settings and split."""
        found = self._open.get((settings, split))
        if found and len(found) < self._shard_size:
            return found
        if found:
            self._summaries.append(found.publish())
        self._open[settings, split] = writer = self._start(settings, split)
        return writer

    def close(self) -> list[Summary]:
        """Finish the shards that are not full; all shards in the order of their names."""
        self._summaries += [writer.publish() for writer in self._open.values()]
        return sorted(self._summaries, key=lambda summary: summary.task)

    def _start(self, settings: str, split: str) -> ShardWriter:
        number = len(self._summaries) + len(self._open)
        content = {"run": self._run, "settings": settings, "split": split, "number": number}
        task = f"{split or 'images'}-{shards.fingerprint(content)}"
        summary = Summary(task, f"shards/{task}.{self._extension}", self._run, settings, split)
        return ShardWriter(self._target, summary, self._open_spool)


def merge(output: str, index: str, newest: dict[str, str], merger: Merger) -> None:
    """Add those outcomes of a shard that hold.

    Args:
        output: where it is.
        index: its index.
        newest: see `shards.newest`.
        merger: what they are added to.
    """
    summary, outcomes = shards.read_index(index)
    holding = {outcome.id for outcome in outcomes if newest.get(outcome.id) == summary.task}
    failed = any(outcome.failure and outcome.id in holding for outcome in outcomes)
    failures = _failures(output, index, summary.failures_sha256) if failed else {}
    if not holding:
        return
    for outcome, record in _with_records(output, summary, outcomes):
        if outcome.id not in holding:
            continue
        writer = merger.writer(summary.settings, summary.split)
        if record is None:
            if outcome.id not in failures:
                raise _broken(storage.join(output, "failures", storage.name(index)))
            writer.add_failure(outcome, failures[outcome.id])
        else:
            writer.add_result(outcome, record)


def _with_records(
    output: str, summary: Summary, outcomes: list[Outcome]
) -> Iterator[tuple[Outcome, bytes | None]]:
    """Each outcome with its record, None for a failure: a shard has them in its index's order."""
    file = storage.join(output, summary.file)
    data = datafiles.format_of(shards.extension_of(file))
    with storage.local_copy(file) as local:
        # Else what was damaged would get a checksum of its own, and look whole from then on.
        if shards.sha256_of(local) != summary.sha256:
            raise _broken(file)
        records = _records(file, data, str(local))
        for outcome in outcomes:
            id, record = (outcome.id, None) if outcome.failure else next(records, ("", None))
            if id != outcome.id:
                raise _broken(file)
            yield outcome, record


def _records(file: str, data: DataFormat, local: str) -> Iterator[tuple[str, bytes]]:
    """The records of a data file with their ids."""
    try:
        for record in data.read(local):
            yield data.id_of(record), record
    except Exception as error:  # of gzip, JSON, TensorFlow, protobuf or Arrow
        raise _broken(file) from error


def _broken(file: str) -> UserError:
    return UserError(f"{file}: missing, or not what its index says; see `captioner verify`")


def _failures(output: str, index: str, sha256: str) -> dict[str, Failure]:
    file = storage.join(output, "failures", storage.name(index))
    return {failure.id: failure for failure in shards.read_failures(file, sha256)}


def _target_extension(output: str, extension: str, format: str | None) -> str:
    if format and extension not in captions.FORMATS:
        raise UserError(f"{output}: --format is for captions, and these are features")
    return format or extension


def _check_target(output: str, target: str) -> None:
    if storage.join(target, "").startswith(storage.join(output, "")):
        raise UserError(f"{target}: is inside {output}, which stays as it is; choose another")
    if storage.exists(target) or next(storage.walk(target), None):
        raise UserError(
            f"{target}: there is something in it; choose another directory, "
            "or delete it if an earlier compact was interrupted there"
        )


def _settings(output: str, extension: str) -> str:
    """The settings whose outcomes go before those of others."""
    if extension == datafiles.FEATURES:
        from captioner.records import FeatureDataset  # with TensorFlow, which captions do without

        return FeatureDataset.load(output).encoder.fingerprint
    settings = shards.latest_settings(output)
    if not settings:
        raise UserError(f"{output}: no run has come to its end here; finish one first")
    return settings


def _save_dataset(output: str, target: str, summaries: list[Summary]) -> None:
    """The new ``dataset.json``, and the encoders."""
    from captioner.records import FeatureDataset

    for entry in storage.walk(storage.join(output, "encoders")):
        with storage.local_copy(entry.uri) as local:
            storage.create(_moved(entry.uri, output, target), local)
    dataset = FeatureDataset.load(output)
    counts: Counter[str] = Counter()
    files: dict[str, tuple[str, ...]] = {}
    for summary in summaries:
        if summary.done and summary.settings == dataset.encoder.fingerprint:
            counts[summary.split] += summary.done
            files[summary.split] = (*files.get(summary.split, ()), summary.file)
    dataclasses.replace(
        dataset,
        directory=target,
        encoder_weights=_moved(dataset.encoder_weights, output, target),
        counts=dict(sorted(counts.items())),
        shards=files,
        superseded=0,
    ).save()


def _moved(uri: str, output: str, target: str) -> str:
    return storage.join(target, uri.removeprefix(storage.join(output, "")))


def _manifest(
    run: str, settings: str, asked: dict[str, Any], summaries: list[Summary]
) -> dict[str, Any]:
    """The run's manifest: all that is there was done by this run."""
    versions = {"captioner": __version__, "python": platform.python_version()}
    seen = sum(summary.done + sum(summary.failed.values()) for summary in summaries)
    manifest = shards.manifest_of(run, settings, asked, versions, summaries, {"seen": seen})
    return {**manifest, "adopted": [], "too_many_failures": ""}
